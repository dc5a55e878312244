"""Layers: data on top of what migrations made, loaded once, kept, and put in the place of each other."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg
import pytest
from sqlalchemy import text

from pytest_pristine.errors import LayerError, RestoreError
from pytest_pristine.isolation import baseline
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.layers import Layer, Layers
from pytest_pristine.isolation.proof import ALWAYS
from pytest_pristine.postgres import capabilities, connections, databases
from pytest_pristine.templates import in_place, retiring
from tests.conftest import EXTENSION, Server, new_database, new_role
from tests.templates.conftest import Schema, Templates

if TYPE_CHECKING:
    from sqlalchemy import Engine
    from sqlalchemy.engine import URL
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pytest_pristine.templates.workspace import Workspace

DDL = """
    CREATE TABLE users (id serial PRIMARY KEY, name text UNIQUE);
    CREATE TABLE orders (id serial PRIMARY KEY, buyer int REFERENCES users);
    INSERT INTO users (name) VALUES ('root')
"""
ROOT = Path(__file__).parent
NAMES = "SELECT string_agg(name, ' ' ORDER BY id) FROM users"
# What no fingerprint tells of, as the time of day.
EXTRA = ""
# What is loaded, in this process.
loaded: list[str] = []


@pytest.fixture(autouse=True)
def _nothing_loaded() -> None:
    loaded.clear()


def add(name: str, engine: Engine) -> None:
    """Load a user."""
    loaded.append(name)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name + EXTRA})


def adding(name: str) -> Callable[[Any], object]:
    """A loader of one user."""
    return functools.partial(add, name)


async def add_asynchronously(engine: AsyncEngine) -> None:
    """Load a user through an asynchronous engine."""
    async with engine.begin() as connection:
        await connection.execute(text("INSERT INTO users (name) VALUES ('async')"))


def change(engine: Engine) -> None:
    """Make everything that a loader may make: a schema of its own, an extension, a view, a large object."""
    with engine.begin() as connection:
        connection.execute(text(f"CREATE EXTENSION {EXTENSION}"))
        connection.execute(text("CREATE TABLE loaded AS SELECT * FROM users"))
        connection.execute(text("CREATE MATERIALIZED VIEW seen AS SELECT count(*) FROM users"))
        connection.execute(text("SELECT lo_from_bytea(0, 'loaded')"))


def fail(engine: Engine) -> None:
    """Write something, and fail."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO users (name) VALUES ('half')"))
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO orders (buyer) VALUES (4711)"))


_left: list[object] = []


def leave_open(engine: Engine) -> None:
    """Leave a session with a transaction, and a prepared one."""
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO users (name) VALUES ('left')"))
    plain = engine.url.set(drivername="postgresql").render_as_string(hide_password=False)
    client = psycopg.connect(plain)
    client.execute("INSERT INTO users (name) VALUES ('never committed')")
    _left.append(client)


@contextmanager
def layers_of(server: Server, workspace: Workspace, *, is_as_made: bool = True) -> Iterator[tuple[Layers, Isolation]]:
    """The layers of a worker, each restore of which is proven."""
    with connections.connect(workspace.url, "test") as connection:
        can = capabilities.inspect(connection)
    isolation = Isolation(
        workspace.url, Coverage(), capabilities=can, timeout=5, rebuild=workspace.rebuild, hold=workspace.hold,
        proof=ALWAYS,
    )  # fmt: skip
    try:
        yield Layers(workspace, isolation, ROOT, is_as_made=is_as_made), isolation
    finally:
        isolation.close()
    del server


def use(server: Server, workspace: Workspace, isolation: Isolation) -> str:
    """The users there are; a test writes and is undone, the second time the schema too."""
    name = str(workspace.url.database)
    before, found = server.dump(name), server.ask(NAMES, name)
    for damage in ("", "DROP TABLE orders;"):
        server.ask(f"{damage} INSERT INTO users (name) VALUES ('test'); UPDATE users SET name = name || '!'", name)
        isolation.restore("a test")
        assert isolation.prove(last=True) == []
        assert server.dump(name) == before
    return found


def test_layers_on_layers(server: Server, templates: Templates) -> None:
    """Tests are restored to the layer that the database stands at, also when that is made anew; each is built once."""
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, isolation):
        base = workspace.template
        with layers.root.layer(adding("a")) as first:
            assert use(server, workspace, isolation) == "root a"
            assert [workspace.template] == templates.names("layer")
            with first.layer(adding("b")) as second:
                assert use(server, workspace, isolation) == "root a b"
                assert (str(second), layers.wanted(lambda _: True)) == (
                    "add in test_layers.py on add in test_layers.py", second
                )  # fmt: skip
            layers.stand_on(layers.wanted(lambda _: True))
            assert use(server, workspace, isolation) == "root a"
        with layers.root.layer(adding("b")):
            assert use(server, workspace, isolation) == "root b"
        assert layers.is_left
        layers.stand_on(layers.root)
        assert use(server, workspace, isolation) == "root"
        assert (workspace.template, layers.switches) == (base, 5)
    assert (loaded, len(templates.names("layer")), templates.names("scratch")) == (["a", "b", "b"], 3, [])


def test_contents_that_come_again(server: Server, templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are recorded once, whatever was done to their last copy, and anew when the template is another."""
    recorded: list[object] = []
    record = baseline.record
    monkeypatch.setattr(baseline, "record", lambda *given: recorded.append(given) or record(*given))
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, isolation):
        name = str(workspace.url.database)
        with layers.root.layer(adding("a")) as first, first.layer(adding("b")) as second:
            for _ in range(2):
                for layer, names in ((layers.root, "root"), (first, "root a"), (second, "root a b")):
                    layers.stand_on(layer)
                    # Somebody comes before the first test.
                    server.ask("INSERT INTO users (name) VALUES ('early')", name)
                    isolation.prepare()
                    assert use(server, workspace, isolation) == names
            assert len(recorded) == 4, "the first time of each; the first of all is not known to be a copy"
            server.ask(f"ALTER DATABASE {workspace.template} IS_TEMPLATE false")
            layers.stand_on(first)
            server.ask(f"DROP DATABASE {templates.names('layer')[-1]}")
            monkeypatch.setattr(sys.modules[__name__], "EXTRA", "!")
            layers.stand_on(second)
            assert use(server, workspace, isolation) == "root a b!"
        assert len(recorded) == 5


def test_a_layer_is_found_again(server: Server, templates: Templates) -> None:
    """Another session loads nothing as long as nothing has changed; it does when it is to build all anew, once."""
    for session, rebuild, expected in (("1", False, ["a"]), ("2", False, []), ("3", True, ["a"]), ("3", True, [])):
        with (
            templates.lease(Schema(DDL), session=session, rebuild=rebuild) as workspace,
            layers_of(server, workspace) as (layers, isolation),
            layers.root.layer(adding("a")),
        ):
            assert use(server, workspace, isolation) == "root a"
        assert (session, loaded) == (session, expected)
        loaded.clear()
    assert len(templates.names("layer")) == 1


def test_a_layer_goes_with_its_ground(server: Server, templates: Templates) -> None:
    """A template that was built anew is another ground: what stood on the old one is dropped, and loaded again."""
    for session, rebuild in (("1", False), ("2", True), ("3", False)):
        with templates.lease(Schema(DDL), session=session, rebuild=rebuild) as workspace:
            if session == "2":
                continue
            with layers_of(server, workspace) as (layers, isolation), layers.root.layer(adding("a")):
                assert use(server, workspace, isolation) == "root a"
    assert loaded == ["a", "a"]
    assert len(templates.names("layer")) == 1


def test_a_loader_that_changes_everything(server: Server, templates: Templates, database: URL) -> None:
    """Schema, extensions, views and large objects are part of a layer, and of nothing else afterwards."""
    name = str(database.database)
    for _ in range(2):
        with (
            templates.lease(Schema(DDL), target=name) as workspace,
            layers_of(server, workspace) as (layers, isolation),
        ):
            server.ask("SELECT * FROM users", name)
            with layers.root.layer(change):
                assert use(server, workspace, isolation) == "root"
                assert server.ask("SELECT count FROM seen", name) == "1"
    # It stands there at the end; the extension is none that somebody else has installed for the migrations.
    assert server.ask("SELECT count FROM seen", name) == "1"
    with templates.lease(Schema(DDL), target=name):
        assert server.ask(f"SELECT count(*) FROM pg_extension WHERE extname = '{EXTENSION}'", name) == "0"
    assert (len(templates.names("template")), len(templates.names("layer"))) == (1, 1)


def test_a_loader_that_fails(server: Server, templates: Templates) -> None:
    """The error names loader, line, reason and statement. The database is as it was, and nothing is left."""
    with (
        templates.lease(Schema(DDL)) as workspace,
        layers_of(server, workspace) as (layers, isolation),
        layers.root.layer(adding("a")) as first,
    ):
        name = str(workspace.url.database)
        before = server.ask(f"SELECT oid FROM pg_database WHERE datname = '{name}'")
        with pytest.raises(LayerError) as raised, first.layer(fail):
            raise AssertionError("it is not entered")
        assert raised.value.sought == "the data of the layer that fail in test_layers.py loads"
        assert raised.value.found.startswith("test_layers.py, line ")
        assert "violates foreign key constraint" in raised.value.found
        assert "in the statement: INSERT INTO orders (buyer) VALUES (4711)" in raised.value.found
        assert layers.current is first
        assert server.ask(f"SELECT oid FROM pg_database WHERE datname = '{name}'") == before
        assert use(server, workspace, isolation) == "root a"
        assert templates.names("scratch") == []


def no_loader(engine: Engine) -> Iterator[None]:
    """One that loads nothing because it is a generator."""
    del engine
    yield


def test_a_loader_that_does_not_load(server: Server, templates: Templates) -> None:
    """A generator has not begun when it was called: that is no layer."""
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, _):
        with pytest.raises(LayerError) as raised, layers.root.layer(no_loader):
            raise AssertionError("it is not entered")
        assert raised.value.found == "it has not begun: it gave generator instead of loading"


def test_a_loader_that_leaves_a_session(server: Server, templates: Templates) -> None:
    """What a loader leaves open is ended, and what it did not commit is no part of the layer."""
    with (
        templates.lease(Schema(DDL)) as workspace,
        layers_of(server, workspace) as (layers, isolation),
        layers.root.layer(leave_open),
    ):
        assert use(server, workspace, isolation) == "root left"


def test_an_asynchronous_loader(server: Server, templates: Templates) -> None:
    """A coroutine function is given an asynchronous engine, and runs beside whatever loop there is."""
    with (
        templates.lease(Schema(DDL)) as workspace,
        layers_of(server, workspace) as (layers, isolation),
        layers.root.layer(add_asynchronously),
    ):
        assert use(server, workspace, isolation) == "root async"


def test_whoever_kept_a_session(server: Server, templates: Templates) -> None:
    """Sessions of others end when the database is switched, and listeners are told so that pools give them up."""
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, isolation):
        told: list[bool] = []
        isolation.on_ended_sessions(lambda: told.append(True))
        with server.connect(str(workspace.url.database)) as client, layers.root.layer(adding("a")):
            assert told == [True]
            with pytest.raises(psycopg.OperationalError):
                client.execute("SELECT 1")


def test_what_was_written_by_hand(server: Server, templates: Templates) -> None:
    """Data that apply_migrations wrote by hand are in no template: a layer on them is refused, and they stay."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        server.ask("INSERT INTO users (name) VALUES ('by hand')", name)
        with layers_of(server, workspace, is_as_made=False) as (layers, isolation):
            with pytest.raises(LayerError) as raised, layers.root.layer(adding("a")):
                raise AssertionError("it is not entered")
            assert "apply_migrations has written to it by hand: users " in raised.value.found
            assert "override postgres_baseline instead of apply_migrations" in raised.value.remedy[0]
            isolation.prepare()
            assert server.ask(NAMES, name) == "root by hand"
    with (
        templates.lease(Schema(DDL)) as workspace,
        layers_of(server, workspace, is_as_made=False) as (layers, _),
        layers.root.layer(adding("a")),
    ):
        assert server.ask(NAMES, str(workspace.url.database)) == "root a"
    assert loaded == ["a"]


def test_a_schema_that_was_made_by_hand(server: Server, templates: Templates) -> None:
    """The same goes for a schema that is in no template."""
    with templates.lease(Schema(DDL)) as workspace:
        server.ask("CREATE TABLE by_hand ()", str(workspace.url.database))
        with layers_of(server, workspace, is_as_made=False) as (layers, _):
            with pytest.raises(LayerError) as raised, layers.root.layer(adding("a")):
                raise AssertionError("it is not entered")
            assert "apply_migrations has changed it by hand: " in raised.value.found


def test_a_template_that_is_gone(server: Server, templates: Templates) -> None:
    """A layer that somebody dropped is loaded again when it is entered again; without a template there is none."""
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, isolation):
        with layers.root.layer(adding("a")), connections.connect(server.url, "test") as connection:
            databases.drop(connection, str(workspace.template))
        layers.stand_on(layers.root)
        with layers.root.layer(adding("a")) as first:
            assert use(server, workspace, isolation) == "root a"
            with connections.connect(server.url, "test") as connection:
                databases.drop(connection, str(workspace.template))
                for name in templates.names("template"):
                    databases.drop(connection, name)
            with pytest.raises(RestoreError), first.layer(adding("b")):
                raise AssertionError("it is not entered")
    assert loaded == ["a", "a"]


@pytest.mark.parametrize("kept", [0, 1])
def test_layers_are_retired(server: Server, templates: Templates, monkeypatch: pytest.MonkeyPatch, kept: int) -> None:
    """Layers push out each other and no template; those of a run that lives stay, with what they stand on."""
    monkeypatch.setattr(retiring, "KEPT_LAYERS", kept)
    monkeypatch.setattr(retiring, "KEPT", 1)
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (layers, _):
        for name in ("a", "b"):
            with layers.root.layer(adding(name)) as first, first.layer(adding("c")):
                pass
        with connections.connect(server.url, "test") as connection:
            retiring.retire(connection, templates.project)
        # That at which the database stands with the one below, and as many others as are kept, with what is below.
        assert len(templates.names("layer")) == 2 + 2 * kept
        assert workspace.template in templates.names("layer")
    assert len(templates.names("layer")) == 2 * kept
    assert len(templates.names("template")) == 1


def test_layers_without_a_ground_are_pruned(server: Server, templates: Templates) -> None:
    """A layer whose template is gone is dropped with all that stands on it, when its run is over."""
    with (
        templates.lease(Schema(DDL)) as workspace,
        layers_of(server, workspace) as (layers, _),
        layers.root.layer(adding("a")) as first,
        first.layer(adding("b")),
        connections.connect(server.url, "test") as connection,
    ):
        databases.drop(connection, templates.names("template")[0])
        assert list(retiring.orphans(connection)) == []
        server.ask(f'DROP DATABASE "{workspace.url.database}" WITH (FORCE)')
        assert [each.name for each in retiring.orphans(connection)] == templates.names("layer")
    assert templates.names("layer") == []


@pytest.fixture
def place(server: Server) -> Iterator[URL]:
    """A database of a role that may make no other."""
    with new_role(server, "NOCREATEDB") as role, new_database(server, owner=str(role.username)) as url:
        yield role.set(database=url.database)


def test_layers_in_place(server: Server, place: URL) -> None:
    """Where there can be no template, data are loaded on top of what is there, or everything is made again."""
    schema = Schema(DDL)
    with (
        in_place.lease(place, str(place.database), schema, project="p", claimed=False) as workspace,
        layers_of(server, workspace) as (layers, isolation),
    ):
        with layers.root.layer(adding("a")) as first:
            assert (schema.runs, use(server, workspace, isolation)) == (1, "root a")
            assert schema.runs == 2  # a test had changed the schema
            server.ask("INSERT INTO users (name) VALUES ('by a test')", workspace.url.database)
            with first.layer(adding("b")):
                assert server.ask(NAMES, workspace.url.database) == "root a b"
            with pytest.raises(LayerError), first.layer(fail):
                raise AssertionError("it is not entered")
            layers.stand_on(first)
            assert use(server, workspace, isolation) == "root a"
        layers.stand_on(layers.root)
        assert use(server, workspace, isolation) == "root"


def test_the_layer_that_a_test_wants(server: Server, templates: Templates) -> None:
    """Of the layers that were entered, a test wants the last one that it knows of."""
    entering = ["session"]
    with templates.lease(Schema(DDL)) as workspace, layers_of(server, workspace) as (plain, isolation):
        del plain
        layers = Layers(workspace, isolation, ROOT, is_as_made=True, by=lambda: entering[-1])
        with layers.root.layer(adding("a")) as first:
            entering.append("module")
            with first.layer(adding("b")) as second:
                wanted: dict[str, Layer] = {
                    "all": layers.wanted(lambda _: True),
                    "session": layers.wanted(lambda by: by == "session"),
                    "none": layers.wanted(lambda _: False),
                }
    assert wanted == {"all": second, "session": first, "none": layers.root}
