"""A template that grows: the rest of a history, on top of the template of its first revisions, gives the same."""

from __future__ import annotations

import secrets
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import URL

from pytest_pristine import Alembic, SqlFiles, Steps
from pytest_pristine.errors import RestoreError, RevisionFailedError
from pytest_pristine.migrations.migrator import Migrator
from pytest_pristine.postgres import connections, databases, locks, marks, names
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import ground, growth
from pytest_pristine.templates.ground import Shorter
from pytest_pristine.templates.growth import Step
from pytest_pristine.templates.run import Run
from tests.conftest import Home, Project, Server, lay_out, new_role
from tests.migrations.conftest import History
from tests.templates.conftest import Schema, Templates

ENV_PY = """
    from alembic import context
    import models

    context.configure(connection=context.config.attributes["connection"], target_metadata=models.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
MODELS = "from sqlalchemy import MetaData\n\nmetadata = MetaData()\n"
# An application that lets nobody look at the settings of its sessions.
REFUSES = """
from sqlalchemy import event
from sqlalchemy.engine import Engine

@event.listens_for(Engine, "before_cursor_execute")
def refuse(connection, cursor, statement, *more):
    if "pg_settings" in statement:
        raise RuntimeError("none of ours")
"""
FIRST = """
import sqlalchemy as sa
orders = op.create_table(
    "orders",
    sa.Column("id", sa.Integer, sa.Identity(always=True), primary_key=True),
    sa.Column("user_id", sa.Integer, sa.ForeignKey("users.id")),
    sa.Column("state", sa.Enum("new", "paid", name="order_state"), nullable=False),
    sa.Column("note", sa.Text),
)
op.drop_column("orders", "note")
op.bulk_insert(orders, [{"user_id": 1, "state": "new"}, {"user_id": 1, "state": "paid"}])
op.execute("CREATE VIEW paid AS SELECT * FROM orders WHERE state = 'paid'")
op.execute("CREATE MATERIALIZED VIEW busy AS SELECT user_id, count(*) FROM orders GROUP BY 1")
op.execute("CREATE FUNCTION f() RETURNS trigger LANGUAGE plpgsql AS 'BEGIN RETURN new; END'")
op.execute("CREATE TRIGGER t BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION f()")
op.execute("SELECT lo_from_bytea(4711, 'large')")
op.execute("COMMENT ON TABLE orders IS 'of users'")
op.execute("GRANT SELECT ON orders TO PUBLIC")
"""
REST = """
import sqlalchemy as sa
op.add_column("orders", sa.Column("paid_at", sa.DateTime(timezone=True)))
op.create_check_constraint("positive", "orders", "id > 0")
op.execute("INSERT INTO orders (user_id, state) SELECT 1, 'new' FROM generate_series(1, 40)")
op.execute("UPDATE orders SET paid_at = '2024-01-01' WHERE id = 2")
op.execute("SELECT nextval('users_id_seq')")
op.execute("SELECT lo_put(4711, 0, 'L')")
op.execute("REFRESH MATERIALIZED VIEW busy")
op.execute("ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO PUBLIC")
name = op.get_bind().engine.url.database
op.execute(f'ALTER DATABASE "{name}" SET statement_timeout TO 3600000')
op.execute(f'GRANT CREATE ON DATABASE "{name}" TO PUBLIC')
"""
ADDS = "op.execute('ALTER TABLE users ADD age int')"


@dataclass(frozen=True)
class Made:
    """A copy of a template.

    Attributes:
        mark: The mark of the template.
        dump: The copy in the words of pg_dump.
    """

    mark: Mark
    dump: str

    def noted(self) -> Mark:
        """What the mark tells of what the template is. Alembic tells differences in any order."""
        migrated = {**self.mark.migrated, "differences": sorted(self.mark.migrated["differences"])}
        return replace(self.mark, run="", used="", grown="", migrated=migrated)


@dataclass(frozen=True)
class Shop:
    """A project that grows."""

    history: History
    templates: Templates
    url: URL

    @property
    def alembic(self) -> Alembic:
        """Its history."""
        return self.history.alembic(environment={"PYTHONPATH": str(self.history.project.path)})

    def made(self, migrator: Migrator | None = None, *, rebuild: bool = False, delta: bool = True) -> Made:
        """What a run is given."""
        run = Run(self.url, None, project=self.templates.project, session=secrets.token_hex(4))
        migrator = migrator or replace(self.alembic, grows=delta)
        with run.lease(migrator, "main", rebuild=rebuild) as workspace:
            with connections.connect(self.url, "look") as connection:
                found = databases.find(connection, str(workspace.template))
            assert found is not None
            return Made(found.mark, self._dump(str(workspace.url.database)))

    def _dump(self, name: str) -> str:
        """The dump, but for the database's name and the mark."""
        lines = self.templates.server.dump(name).replace(name, "database").splitlines()
        return "\n".join(line for line in lines if not line.startswith("COMMENT ON DATABASE"))


@contextmanager
def new_shop(path: Path, home: Home, templates: Templates, url: URL) -> Iterator[Shop]:
    """A project with a history of two revisions."""
    history = History(lay_out(path, home), templates.server, url)
    history.write("migrations/env.py", ENV_PY)
    history.write("models.py", MODELS)
    history.revise("0002", "0001", FIRST)
    yield Shop(history, templates, url)


@pytest.fixture
def shop(tmp_path: Path, shared_home: Home, templates: Templates) -> Iterator[Shop]:
    """A project whose migrations a superuser runs."""
    with new_shop(tmp_path, shared_home, templates, templates.server.url) as made:
        yield made


@pytest.mark.parametrize("attributes", ["SUPERUSER", "CREATEDB"])
def test_the_rest_gives_the_same(
    tmp_path: Path, shared_home: Home, server: Server, templates: Templates, attributes: str
) -> None:
    """A template built in two parts is, in the words of pg_dump, what all revisions give at once; so is its mark."""
    with new_role(server, attributes) as url, new_shop(tmp_path, shared_home, templates, url) as shop:
        first = shop.made()
        shop.history.write("models.py", MODELS + "\nOTHER = 1\n")
        shop.history.revise("0003", "0002", REST)
        grown, whole = shop.made(), shop.made(rebuild=True)
        assert (first.mark.grown, grown.mark.grown, whole.mark.grown) == ("", "1 of 3 revisions", "")
        assert grown.dump == whole.dump
        assert "statement_timeout" in grown.dump
        assert "setval('public.orders_id_seq', 42, true)" in grown.dump
        assert grown.noted() == whole.noted()


def test_it_goes_on_growing(shop: Shop) -> None:
    """The longest of several templates is taken, one that was built in two parts as any other."""
    shop.made()
    for number in (3, 4):
        shop.history.revise(f"{number:04}", f"{number - 1:04}", f"op.execute('CREATE TABLE t{number} ()')")
        made = shop.made()
        assert made.mark.grown == f"1 of {number} revisions"
    assert "CREATE TABLE public.t3" in made.dump
    assert len(shop.templates.names("template")) == 3


def test_a_setting_of_the_database_that_revisions_did_not_find(shop: Shop) -> None:
    """What a revision set for the database is there for later ones only where these have a session of their own."""
    name = "quote_ident(current_database())"
    sets = f"EXECUTE 'ALTER DATABASE ' || {name} || ' SET search_path TO hidden, public'"
    shop.history.revise("0002", "0001", f'op.execute("CREATE SCHEMA hidden")\nop.execute("DO $$ BEGIN {sets}; END $$")')
    shop.made()
    shop.history.revise("0003", "0002", "op.execute('CREATE TABLE orders ()')")
    made = shop.made()
    assert made.mark.grown == ""
    assert "CREATE TABLE public.orders" in made.dump


def test_a_revision_that_fails(shop: Shop) -> None:
    """What is said of a new revision that fails is what is said of any, and nothing is left of the attempt."""
    shop.made()
    shop.history.revise("0003", "0002", "op.execute('CREATE TABLE half ()')\nop.execute('SELECT * FROM nowhere')")
    before = shop.templates.all()
    found = []
    for delta in (True, False):
        with pytest.raises(RevisionFailedError) as caught:
            shop.made(delta=delta)
        found.append(str(caught.value))
    assert found[0] == found[1]
    assert "revision 0003 in migrations/versions/0003_change.py failed" in found[0]
    assert shop.templates.all() == before


def test_a_revision_that_works_on_an_empty_database_alone(shop: Shop) -> None:
    """What fails on top of a template, and not otherwise, is no failure."""
    shop.history.revise("0002", "0001", "op.execute(\"SELECT nextval('users_id_seq')\")")
    shop.made()
    shop.history.revise("0003", "0002", "op.execute(\"SELECT currval('users_id_seq')\")")
    assert shop.made().mark.grown == ""


def test_it_is_switched_off(shop: Shop) -> None:
    """With the setting off all revisions run, and nobody watches them."""
    assert shop.made().mark.footing
    shop.history.revise("0003", "0002", ADDS)
    made = shop.made(delta=False)
    assert made.mark.grown == ""
    assert made.mark.footing == {}
    assert "age integer" in made.dump


def test_what_came_of_it_is_not_used_where_it_is_switched_off(shop: Shop) -> None:
    """A template that grew is that of runs that have it grow; others run all revisions."""
    shop.made()
    shop.history.revise("0003", "0002", ADDS)
    assert shop.made().mark.grown == "1 of 3 revisions"
    assert shop.made(delta=False).mark.grown == ""


def test_migrations_that_fail_for_being_watched(shop: Shop) -> None:
    """They are run once more, and nobody watches."""
    shop.history.project.write("models.py", MODELS + REFUSES)
    made = shop.made()
    assert made.mark.footing == {}
    assert "CREATE TABLE public.orders" in made.dump


def test_files_of_sql_before_the_history(shop: Shop) -> None:
    """Files of SQL that ran before are not run again; what is known of them stays known, and an edited one counts."""
    path = shop.history.project.path / "before.sql"
    path.write_text("CREATE TABLE early (id int)")
    steps = Steps(SqlFiles("before.sql", root=path.parent), replace(shop.alembic, grows=True))
    shop.made(steps)
    shop.history.revise("0003", "0002", ADDS)
    grown, whole = shop.made(steps), shop.made(steps, rebuild=True)
    assert grown.mark.grown == "1 of 3 revisions"
    assert grown.dump == whole.dump
    assert grown.noted() == whole.noted()
    path.write_text("CREATE TABLE early (id bigint)")
    shop.history.revise("0004", "0003", "pass")
    assert shop.made(steps).mark.grown == ""


def test_the_template_is_gone_meanwhile(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where somebody drops the template that was chosen, all revisions run."""
    shop.made()
    shop.history.revise("0003", "0002", ADDS)
    real = growth.longest

    def dropping(connection: Connection, *of: Any) -> Step | None:  # noqa: ANN401 - as it is called
        found = real(connection, *of)
        assert found is not None
        databases.drop(connection, found.template.name)
        return found

    monkeypatch.setattr(growth, "longest", dropping)
    made = shop.made()
    assert made.mark.grown == ""
    assert "age integer" in made.dump
    assert len(shop.templates.names("%")) == 1


def test_others_are_busy_with_it(templates: Templates, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody waits long for a template to build on, since its builder may wait for the one that is built."""
    with templates.lease(Schema("CREATE TABLE a ()")) as workspace:
        name = str(workspace.template)
    monkeypatch.setattr(ground, "_PATIENCE", 0.05)
    with (
        connections.connect(templates.server.url, "one") as one,
        connections.connect(templates.server.url, "other") as other,
    ):
        found = databases.find(one, name)
        assert found is not None
        mark = Mark(marks.SCRATCH, "", templates.project)
        with locks.held(other, locks.build(found.mark.fingerprint)), pytest.raises(RestoreError, match="are busy"):
            Shorter(one, found).lay("pristine_scratch_x", mark)
        with pytest.raises(RestoreError, match="another was made in its place"):
            Shorter(one, replace(found, oid=1)).lay("pristine_scratch_x", mark)
        assert locks.try_take(other, locks.build(found.mark.fingerprint))


def test_it_is_told(project: Project) -> None:
    """`pristine status` says of a template how much was added to another; nothing is where the setting is off."""
    revise = History(project, None, None).revise  # type: ignore[arg-type] # it has no database of its own
    for revision, before, delta in (("0002", "0001", "true"), ("0003", "0002", "false")):
        assert project.run(PRISTINE_DELTA="true").status == 0
        revise(revision, before, f"op.execute('CREATE TABLE t{revision} ()')")
        assert project.run(PRISTINE_DELTA=delta).status == 0
    pristine = Path(sys.executable).with_name("pristine")
    said = subprocess.run([pristine, "status"], env=dict(project.environ), capture_output=True, text=True, check=True)
    mine = [line for line in said.stdout.splitlines() if f"template of {names.label(project.path.name)}," in line]
    assert ["grown by 1 of 2 revisions" in line for line in mine] == [False, True, False]
