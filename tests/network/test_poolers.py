"""PgBouncer between a run and its server: worked through, or refused before anything is changed."""

from __future__ import annotations

from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import PoolerError, RefusedError, UnknownDatabaseError, UnreachableError
from pytest_pristine.postgres import connections, poolers, urls
from pytest_pristine.servers.cluster import LOOPBACK
from tests.conftest import new_database, new_role
from tests.network.conftest import LIFE, TRUSTED, passed, role_called
from tests.servers.conftest import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from sqlalchemy.engine import URL

    from tests.conftest import Project
    from tests.network.conftest import Backend
    from tests.servers.conftest import Resolve

    StartPooler = Callable[..., URL]

# So that what waits for a pooler in vain does not wait long.
SOON = "?connect_timeout=1"
# A line of PgBouncer's [databases] for one database.
ONLY = "{name} = host={{host}} port={{port}}"
# All that a run takes at least.
LEAST = {"default_pool_size": poolers.LEAST, "reserve_pool_size": 0}


def through(pooler: URL, url: URL, **changes: str) -> URL:
    """The same database through a pooler."""
    return url.set(port=pooler.port, **changes)


def refused(resolve: Resolve, url: str) -> PoolerError:
    """The refusal of a pooler."""
    with pytest.raises(PoolerError) as caught:
        resolve(TEST_DATABASE_URL=url)
    return caught.value


@pytest.mark.parametrize("attributes", ["SUPERUSER", "CREATEDB", ""], ids=["superuser", "createdb", "in_place"])
def test_a_life_in_sessions_of_a_pooler(
    project: Project, backend: Backend, start_pooler: StartPooler, attributes: str
) -> None:
    """Where sessions are kept run after run passes, schema changes included, in the database that was named.

    A role that works in place needs no other database.
    """
    project.write("test_users.py", LIFE)
    with new_role(backend.server, attributes) as role, new_database(backend.server, role.username) as made:
        databases = {} if attributes else {"databases": ONLY.format(name=made.database)}
        url = through(start_pooler(**LEAST, **databases), role, database=str(made.database))
        for _ in range(2):
            run = project.run("--log-cli-level=WARNING", TEST_DATABASE_URL=text(url))
            assert passed(run), run.output
            assert (", in place)" in run.output) is (attributes == "")
        assert backend.server.ask("SELECT string_agg(name, ',') FROM users", made.database) == "root"


def test_somebody_else_in_a_session_of_the_pooler(
    project: Project, backend: Backend, start_pooler: StartPooler, owned: URL
) -> None:
    """A session that the pooler keeps for nobody is ended; somebody's is left alone, and the run goes beside."""
    url = through(start_pooler(), owned)
    with backend.server.connect(url=url) as gone, backend.server.connect(url=url) as onlooker:
        gone.execute("SELECT 1")
        assert onlooker.execute("SELECT 1").fetchone() == (1,)
        gone.close()
        run = project.run("--log-cli-level=WARNING", TEST_DATABASE_URL=text(url))
        assert run.status == 0, run.output
        assert f"somebody is connected to {owned.database}: working in " in run.message()
        assert onlooker.execute("SELECT to_regclass('users')").fetchone() == (None,)


@pytest.mark.parametrize("mode", ["transaction", "statement"])
def test_sessions_that_are_lent(
    project: Project, backend: Backend, start_pooler: StartPooler, owned: URL, mode: str
) -> None:
    """Where sessions are lent for less than a connection's life a run ends with a sentence, nothing touched."""
    url, name = through(start_pooler(pool_mode=mode), owned), str(owned.database)
    settings = "SELECT name, setting FROM pg_settings WHERE name <> 'application_name' ORDER BY name"
    with backend.server.connect(url=url) as client:
        before = client.execute(settings).fetchall(), backend.server.dump(name)
        run = project.run(TEST_DATABASE_URL=text(url))
        assert (client.execute(settings).fetchall(), backend.server.dump(name)) == before
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert (
        f"sought: a session of its own for each connection, at {urls.show(url)} (from TEST_DATABASE_URL)"
        in run.message()
    )
    assert (
        "found: a connection pooler in between, and it lends sessions for one transaction or one statement"
        in run.message()
    )
    assert "Nothing was touched to do: name the server itself in TEST_DATABASE_URL, and not the pooler" in run.message()
    assert "to do: or have it keep sessions: pool_mode = session in pgbouncer.ini" in run.message()
    assert "Traceback" not in run.output


@pytest.mark.parametrize("free", [1, 2, 3, 5])
@pytest.mark.parametrize("in_turn", [0, 1], ids=["last_used_first", "in_turn"])
def test_however_many_are_free(
    resolve: Resolve, backend: Backend, start_pooler: StartPooler, owned: URL, free: int, in_turn: int
) -> None:
    """That sessions are lent is noticed with any number of free ones, whether they are lent in turn or not."""
    url = through(start_pooler(pool_mode="transaction", server_round_robin=in_turn), owned)
    with ExitStack() as stack:
        clients = [stack.enter_context(backend.server.connect(url=url)) for _ in range(free)]
        transactions = [stack.enter_context(client.transaction()) for client in clients]
        pids = {client.execute("SELECT pg_backend_pid()").fetchone() for client in clients}
    assert (len(pids), len(transactions)) == (free, free)
    assert "it lends sessions" in refused(resolve, text(url)).found


def test_without_a_pooler_there_is_no_further_connection(owned: URL, free_port: int) -> None:
    """What is found on the one connection is enough, where there is no pooler: nothing else is connected to."""
    with connections.bare(owned, "test") as connection:
        poolers.check(connection, owned.set(port=free_port), "nowhere")


@pytest.mark.parametrize("size", [1, 2])
def test_too_few_sessions(resolve: Resolve, start_pooler: StartPooler, owned: URL, size: int) -> None:
    """A pooler that lets us wait for a session is given up soon, with the setting that it takes."""
    error = refused(resolve, text(through(start_pooler(default_pool_size=size), owned)) + SOON)
    assert error.sought.startswith(f"3 sessions at once in the database '{owned.database}', at postgresql://")
    assert (
        f"and connection {size + 1} has none: connected, and no answer within 1 s. Nothing was touched" in error.found
    )
    assert "or let it have more: default_pool_size in pgbouncer.ini" in error.remedy[1]


def test_no_session_at_all(resolve: Resolve, backend: Backend, start_pooler: StartPooler, owned: URL) -> None:
    """A pooler whose sessions others hold is an error that says so, soon."""
    url = through(start_pooler(default_pool_size=1), owned)
    with backend.server.connect(url=url) as other:
        other.execute("SELECT 1")
        with pytest.raises(UnreachableError) as caught:
            resolve(TEST_DATABASE_URL=text(url) + SOON)
    assert caught.value.found == (
        "a server that takes the connection, and does not answer on it: connected, and no answer within 1 s"
    )
    assert caught.value.remedy == (
        "if a connection pooler is in between: start the server behind it, or let it have more sessions",
    )


def test_a_pooler_without_a_server(resolve: Resolve, start_pooler: StartPooler, owned: URL, free_port: int) -> None:
    """A pooler whose server does not run is an error that says so, soon."""
    url = through(start_pooler(databases=f"* = host={LOOPBACK} port={free_port}"), owned)
    with pytest.raises(UnreachableError) as caught:
        resolve(TEST_DATABASE_URL=text(url) + SOON)
    assert "start the server behind it" in caught.value.remedy[0]


def test_other_databases_cannot_be_reached(
    resolve: Resolve, backend: Backend, start_pooler: StartPooler, owned: URL
) -> None:
    """A pooler that knows the named database alone is refused, with the line that it needs; nothing was touched."""
    before = backend.server.dump(str(owned.database))
    error = refused(resolve, text(through(start_pooler(databases=ONLY.format(name=owned.database)), owned)))
    assert error.sought.startswith("every database of the server, also those that a run makes, at postgresql://")
    assert "it does not let us into 'postgres', which the server would: " in error.found
    assert "no such database: postgres. Nothing was touched" in error.found
    assert error.remedy[1] == "or have it pass all names on: * = host=… in [databases] of pgbouncer.ini"
    assert backend.server.dump(str(owned.database)) == before


def test_another_name_for_the_database(resolve: Resolve, start_pooler: StartPooler, owned: URL) -> None:
    """A name that only the pooler knows is refused: what we make has its name on the server."""
    name = str(owned.database)
    pooler = start_pooler(databases=f"alias = host={{host}} port={{port}} dbname={name}")
    error = refused(resolve, text(through(pooler, owned, database="alias")))
    assert f"'alias' is its name for the database '{name}'. Nothing was touched" in error.found
    assert error.remedy[1].startswith(f"or name '{name}' in the URL")


def test_another_role(resolve: Resolve, backend: Backend, start_pooler: StartPooler, owned: URL) -> None:
    """A pooler that logs in as another role is refused, with both names."""
    with role_called(backend, TRUSTED, "unused"):
        forced = f"* = host={{host}} port={{port}} user={TRUSTED}"
        error = refused(resolve, text(through(start_pooler(databases=forced), owned)))
        assert f"it logs in as '{TRUSTED}'. Nothing was touched" in error.found
        assert error.remedy[1].startswith(f"or name '{TRUSTED}' in the URL")


def test_a_database_that_the_pooler_does_not_know(resolve: Resolve, start_pooler: StartPooler, owned: URL) -> None:
    """A pooler that knows another database alone is told from a wrong password, with the line that it needs."""
    pooler = start_pooler(databases=ONLY.format(name="another"))
    with pytest.raises(UnknownDatabaseError) as caught:
        resolve(TEST_DATABASE_URL=text(through(pooler, owned)))
    assert caught.value.found.startswith(f"a connection pooler that lets us into no database '{owned.database}'")
    assert caught.value.remedy == ("have it pass all names on: * = host=… in [databases]",)


def test_a_database_that_the_server_does_not_have(resolve: Resolve, start_pooler: StartPooler, owned: URL) -> None:
    """A database that is not there is told as such through a pooler, too."""
    with pytest.raises(UnknownDatabaseError) as caught:
        resolve(TEST_DATABASE_URL=text(through(start_pooler(), owned, database="nowhere")) + SOON)
    assert "no database 'nowhere' on it (it has: " in caught.value.found


@pytest.mark.parametrize("ignored", [False, True])
def test_parameters_at_the_start(resolve: Resolve, start_pooler: StartPooler, owned: URL, ignored: bool) -> None:  # noqa: FBT001
    """A parameter that the pooler does not pass on is an error that names it, unless it is told to ignore it."""
    pooler = start_pooler(**({"ignore_startup_parameters": "options"} if ignored else {}))
    url = text(through(pooler, owned)) + "?options=-csearch_path%3Dx"
    if ignored:
        assert resolve(TEST_DATABASE_URL=url).target == owned.database
    else:
        with pytest.raises(RefusedError, match="unsupported startup parameter: options"):
            resolve(TEST_DATABASE_URL=url)


def test_what_is_asked_leaves_no_session_behind(
    resolve: Resolve, backend: Backend, start_pooler: StartPooler, owned: URL
) -> None:
    """A look through a pooler leaves no session in template1, which would keep others from copying it."""
    resolve(TEST_DATABASE_URL=text(through(start_pooler(), owned)))
    assert backend.server.ask("SELECT count(*) FROM pg_stat_activity WHERE datname = 'template1'") == "0"


def test_parked_sessions_are_the_poolers(backend: Backend, start_pooler: StartPooler, owned: URL) -> None:
    """What was parked is ended through the pooler alone: who is connected directly leaves the sessions as they are."""
    name, pooler = str(owned.database), start_pooler()
    with backend.server.connect(url=through(pooler, owned)) as client:
        client.execute("SELECT 1")
    present = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{name}'"
    assert backend.server.ask(present) == "1"
    with connections.connect(backend.server.url, "test") as direct:
        poolers.end_parked(direct, name)
    assert backend.server.ask(present) == "1"
    with connections.connect(through(pooler, owned, database="postgres"), "test") as pooled:
        poolers.end_parked(pooled, name)
    assert backend.server.ask(present) == "0"


def test_a_short_timeout_of_the_database(resolve: Resolve, backend: Backend, owned: URL) -> None:
    """A database whose statements may take a millisecond is looked at all the same, where there is no pooler."""
    backend.server.ask(f"ALTER DATABASE {owned.database} SET statement_timeout = '1ms'")
    assert resolve(TEST_DATABASE_URL=text(owned)).target == owned.database
