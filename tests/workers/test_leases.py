"""Leases: nothing is dropped whose run may still live, and nobody comes back into a database that is another's."""

from __future__ import annotations

import getpass
import os
import pickle
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text
from sqlalchemy.engine import URL

from pytest_pristine.errors import RestoreError
from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.postgres import capabilities, connections, databases, engines, lapsed, locks, marks
from pytest_pristine.postgres.marks import Mark
from pytest_pristine.templates import retiring
from pytest_pristine.templates.run import Run
from pytest_pristine.templates.workspace import Copy, Workspace, work_in
from tests.conftest import Project, Server


def migrations(project: Project) -> Alembic:
    """The migrations of a project."""
    return Alembic(project.path / "alembic.ini")


@contextmanager
def new_run(server: Server, target: str | None = None) -> Iterator[Run]:
    """A run of a project of its own."""
    run = Run(server.url, target, project=f"p{secrets.token_hex(4)}", session=secrets.token_hex(4))
    try:
        yield run
    finally:
        run.close()


def isolation(server: Server, workspace: Workspace) -> Isolation:
    """What restores the database of a worker."""
    with connections.connect(server.url, "test") as connection:
        can = capabilities.inspect(connection)
    return Isolation(
        workspace.url, Coverage(("*",), ()), capabilities=can, timeout=2, rebuild=workspace.rebuild, hold=workspace.hold
    )


def end(server: Server, purpose: str) -> None:
    """End all sessions of ours that have a purpose, as an administrator or a firewall does."""
    query = (
        f"SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity WHERE application_name = 'pristine: {purpose}'"
    )
    assert server.ask(query), f"no session for {purpose}"


def names(server: Server, run: Run) -> list[str]:
    """The databases that a run has."""
    with connections.connect(server.url, "test") as connection:
        return [each.name for each in databases.ours(connection) if each.mark.run == run.id]


def drop_what_is_over(server: Server) -> None:
    """What any run does at its end."""
    with connections.connect(server.url, "test") as connection:
        lapsed.drop(connection)


def test_a_run_that_lost_its_anchor(server: Server, project: Project) -> None:
    """As long as one of its workers is connected a run keeps its databases, and gets its other connections back."""
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["gw0"])
        with work_in(copy) as workspace:
            restoring = isolation(server, workspace)
            end(server, f"run {run.id}")
            drop_what_is_over(server)
            assert names(server, run) == [copy.url.database]
            restoring.close()
            drop_what_is_over(server)
            assert names(server, run) == []


def test_a_worker_in_another_process(server: Server, project: Project) -> None:
    """A database can be handed to another process, which makes it anew by itself and holds the lease meanwhile."""
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["gw0"])
        received: Copy = pickle.loads(pickle.dumps(copy))  # noqa: S301 - what we have just made
        with work_in(received) as workspace:
            restoring = isolation(server, workspace)
            end(server, f"run {run.id}")
            server.ask("CREATE TABLE more ()", copy.url.database)
            assert restoring.restore().remade
            assert server.ask("SELECT to_regclass('more')", copy.url.database) == ""
            with connections.connect(server.url, "test") as connection:
                assert locks.is_held(connection, locks.lease(run.id))
            restoring.close()


def test_a_run_that_lost_everything(server: Server, project: Project) -> None:
    """When its database was dropped meanwhile, a run makes it anew under its own name and goes on."""
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        with work_in(copy, run.anchor) as workspace:
            restoring = isolation(server, workspace)
            end(server, f"run {run.id}")
            end(server, "restore")
            drop_what_is_over(server)
            assert names(server, run) == []
            assert "no connection" in restoring.prepare().remade
            assert server.ask("SELECT name FROM users", copy.url.database) == "root"
            drop_what_is_over(server)
            assert names(server, run) == [copy.url.database]
            restoring.close()


def test_a_run_whose_database_was_taken_over(server: Server, project: Project, database: URL) -> None:
    """A run that lost its connections does not come back into a database that another run works in by now."""
    name = str(database.database)
    with connections.connect(server.url, "test") as connection:
        databases.set_mark(connection, name, Mark(marks.TARGET, "", ""))
    with new_run(server, name) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        assert (copy.url.database, copy.is_target) == (name, True)
        with work_in(copy, run.anchor) as workspace:
            restoring = isolation(server, workspace)
            engine = engines.create(workspace.url, 2, workspace.contested)
            with engine.begin() as client:
                client.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            engine.dispose()
            for purpose in (f"run {run.id}", "restore", "read"):
                end(server, purpose)
            with new_run(server, name) as second:
                (taken,) = second.copies(migrations(project), ["main"])
                assert taken.is_target
                for _ in range(2):
                    with pytest.raises(RestoreError, match="another run has taken it over since"):
                        restoring.prepare()
                with pytest.raises(RestoreError, match=f"the run {second.id} has taken it over"):
                    engine.connect()
                assert server.ask("SELECT name FROM users", name) == "root"
            restoring.close()


def test_a_comment_that_a_test_wrote(server: Server, project: Project, database: URL) -> None:
    """A test that writes its own COMMENT on the database does not make it another's."""
    name = str(database.database)
    with connections.connect(server.url, "test") as connection:
        databases.set_mark(connection, name, Mark(marks.TARGET, "", ""))
    with new_run(server, name) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        server.ask(f"COMMENT ON DATABASE {name} IS 'mine'")
        with work_in(copy, run.anchor) as workspace:
            restoring = isolation(server, workspace)
            engine = engines.create(workspace.url, 2, workspace.contested)
            engine.connect().close()
            engine.dispose()
            end(server, "restore")
            restoring.prepare()
            restoring.close()


def test_a_template_that_is_needed(server: Server, project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """The template of a run that lives is kept, however many others are used after it."""
    monkeypatch.setattr(retiring, "KEPT", 0)
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        with connections.connect(server.url, "test") as connection:
            retiring.retire(connection, copy.template.mark.project)
            copy.rebuild(run.anchor)
            databases.drop(connection, str(copy.url.database))
            retiring.retire(connection, copy.template.mark.project)
            assert databases.find(connection, copy.template.name) is None


def test_what_a_mark_says(server: Server, project: Project) -> None:
    """A mark says whose the run is, on which machine, in which process, and since when."""
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        assert copy.mark.owner == f"{getpass.getuser()}@{socket.gethostname()}, process {os.getpid()}"
        assert server.ask(f"SELECT now() - '{copy.mark.since}'::timestamptz < interval '1 minute'") == "t"


def test_a_fork_ends_nothing(server: Server, project: Project) -> None:
    """A fork that ends what it inherited leaves run, lease and databases to its parent."""
    with new_run(server) as run:
        (copy,) = run.copies(migrations(project), ["main"])
        child = os.fork()
        if child == 0:
            run.anchor.close()
            run.close()
            os._exit(0)
        assert os.waitpid(child, 0)[1] == 0
        assert names(server, run) == [copy.url.database]
        with connections.connect(server.url, "test") as connection:
            assert locks.is_held(connection, locks.lease(run.id))


def test_a_database_that_was_left_closed(server: Server, project: Project, database: URL) -> None:
    """A named database that a run closed to make it anew, and was killed meanwhile, is opened by the next one."""
    name, address = str(database.database), database.render_as_string(hide_password=False)
    with connections.connect(server.url, "test") as connection:
        databases.set_mark(connection, name, Mark(marks.TARGET, "dead", "p"))
        databases.allow_connections(connection, name, allow=False)
        with locks.held(connection, locks.lease("dead")):
            run = project.run("-q", TEST_DATABASE_URL=address)
            assert (run.status, "not currently accepting connections" in run.output) == (4, True), run.output
    run = project.run("-q", TEST_DATABASE_URL=address)
    assert run.status == 0, run.output
