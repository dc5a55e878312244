"""Connections: what the server has, what each worker may have of them, and what happens when it is too little."""

from __future__ import annotations

import pytest

from pytest_pristine.errors import TooFewConnectionsError
from pytest_pristine.postgres import budget, connections
from pytest_pristine.postgres.budget import WANTED, Budget
from tests.conftest import Project, Server, new_database, new_role

_TEST = """
    def test_pool(postgres_engine):
        assert postgres_engine.pool.size() + postgres_engine.pool._max_overflow == {size}
"""


@pytest.mark.parametrize(
    ("of", "workers", "expected"),
    [
        (Budget(100, 3, 10), 1, WANTED),
        (Budget(100, 3, 10), 8, 8),
        (Budget(100, 3, 10), 20, 2),
        (Budget(100, 3, 10, role=20, used_by_role=5), 3, 3),
        (Budget(100, 3, 10, database=6), 3, 4),
        (Budget(8, 3, 1), 1, 2),
    ],
)
def test_what_each_worker_may_have(of: Budget, workers: int, expected: int) -> None:
    """Connections are shared out evenly after two for each worker's restores, up to as many as SQLAlchemy wants."""
    assert of.pool(workers) == expected


@pytest.mark.parametrize(
    ("of", "workers", "wanted", "found", "remedies"),
    [
        (
            Budget(100, 3, 10), 30, None, "max_connections 100 - 3 reserved - 10 used = 87 free",
            ["set max_connections of the server to 133 or more, and restart it",
             "or run fewer workers: pytest -n 21"],
        ),
        (
            Budget(100, 3, 10), 8, 20, "max_connections 100 - 3 reserved - 10 used = 87 free",
            ["set max_connections of the server to 189 or more, and restart it",
             "or run fewer workers: pytest -n 3", "or have each need fewer: --pristine-pool=8"],
        ),
        (
            Budget(100, 3, 10, role=5, used_by_role=2, role_name="an app"), 1, None,
            "a limit of 5 for the role - 2 used = 3 free",
            ['as a superuser: ALTER ROLE "an app" CONNECTION LIMIT 6', "or have each need fewer: --pristine-pool=1"],
        ),
        (
            Budget(100, 3, 10, database=2, database_name="app_test"), 1, 1, "a limit of 2 for the database",
            ['as its owner: ALTER DATABASE "app_test" CONNECTION LIMIT 3'],
        ),
        (
            Budget(5, 3, 2), 1, 1, "max_connections 5 - 3 reserved - 2 used = 0 free",
            ["set max_connections of the server to 8 or more, and restart it"],
        ),
    ],
)  # fmt: skip
def test_too_few(of: Budget, workers: int, wanted: int | None, found: str, remedies: list[str]) -> None:
    """When there are too few the error has the numbers, and the setting that decides."""
    with pytest.raises(TooFewConnectionsError) as caught:
        of.pool(workers, wanted)
    assert caught.value.found == found
    assert list(caught.value.remedy) == remedies
    least = wanted or 2
    who = f"{workers} worker{'s' if workers > 1 else ''}"
    needed = f"{workers * (least + 2)} connections: {who}, each with {least} for tests and 2 to restore"
    assert caught.value.sought == needed


def test_what_a_server_has(server: Server) -> None:
    """Limits and use are read from the server; a superuser is held back by no limit."""
    with connections.connect(server.url, "budget") as connection:
        first = budget.read(connection)
        with server.connect():
            second = budget.read(connection)
        assert (first.maximum, first.reserved, first.role, first.database) == (200, 0, -1, -1)
        assert second.used == first.used + 1


def test_what_a_role_has(server: Server) -> None:
    """Another role has its own limit, that of the database it named, and none of the reserved connections."""
    with new_role(server, "CREATEDB CONNECTION LIMIT 7") as role, new_database(server, role.username) as url:
        server.ask(f"ALTER DATABASE {url.database} CONNECTION LIMIT 5")
        with connections.connect(role, "budget") as connection:
            found = budget.read(connection, url.database)
        assert (found.reserved, found.role, found.used_by_role, found.database) == (3, 7, 1, 5)


def test_a_run_with_few_connections(project: Project, server: Server) -> None:
    """Every worker has an engine that is bounded by what the server has."""
    with new_role(server, "CREATEDB CONNECTION LIMIT 19") as role:
        for arguments, size in (("-n3", 4), ("-n2", 7), ("-n0", 15)):
            project.write("test_users.py", _TEST.format(size=size))
            run = project.run("-p", "xdist", arguments, TEST_DATABASE_URL=role.render_as_string(hide_password=False))
            assert run.status == 0, run.output


def test_a_run_with_too_few_connections(project: Project, server: Server) -> None:
    """A run that needs more ends before its first test with status 4, the numbers, and what to change."""
    with new_role(server, "CREATEDB CONNECTION LIMIT 10") as role:
        url = role.render_as_string(hide_password=False)
        run = project.run("-p", "xdist", "-n4", TEST_DATABASE_URL=url)
        assert run.status == pytest.ExitCode.USAGE_ERROR
        assert "16 connections: 4 workers, each with 2 for tests and 2 to restore" in run.message()
        assert "a limit of 10 for the role - 1 used = 9 free" in run.message()
        assert "or run fewer workers: pytest -n 2" in run.message()
        run = project.run("--pristine-pool=9", TEST_DATABASE_URL=url)
        assert (run.status, "11 connections: 1 worker, each with 9" in run.message()) == (4, True), run.output


def test_a_pool_that_was_asked_for(project: Project, server: Server) -> None:
    """`pristine_pool` is the number of connections that the engine has at most; more wait for one to be given back."""
    project.write(
        "test_users.py",
        """
        import pytest
        from sqlalchemy.exc import TimeoutError

        def test_pool(postgres_engine):
            assert postgres_engine.pool.size() == 1
            postgres_engine.pool._timeout = 0.1
            with postgres_engine.connect(), pytest.raises(TimeoutError):
                postgres_engine.connect()
        """,
    )
    project.write("pytest.ini", "[pytest]\npristine_pool = 1\n")
    run = project.run(TEST_DATABASE_URL=server.url.render_as_string(hide_password=False))
    assert run.status == 0, run.output


@pytest.mark.parametrize(
    ("free", "workers", "wanted", "pool", "fresh"),
    [
        (87, 1, None, WANTED, (5, 3)), (26, 1, None, WANTED, (5, 2)), (20, 1, None, 13, (3, 0)),
        (87, 8, None, 3, (3, 0)), (12, 1, None, 5, (3, 0)), (7, 1, None, 2, (1, 0)), (40, 1, 30, 30, (5, 1)),
    ],
)  # fmt: skip
def test_shares_beside_fresh_databases(
    free: int, workers: int, wanted: int | None, pool: int, fresh: tuple[int, int]
) -> None:
    """The shared engine leaves as many as a test's own database needs, and that has what else there is."""
    of = Budget(free + 3, 3, 0)
    assert of.pool_beside_fresh(workers, wanted) == pool
    assert of.fresh(workers, pool) == fresh


def test_too_few_for_fresh_databases() -> None:
    """Where there is none for them, the error says how many are missing, and what would give them."""
    with pytest.raises(TooFewConnectionsError) as caught:
        Budget(100, 3, 10).fresh(8, 8)
    assert caught.value.sought == (
        "104 connections: of each worker 3 for fresh_database, 8 for other tests and 2 to restore"
    )
    assert caught.value.found == "87 free"
    assert list(caught.value.remedy) == [
        "give the server or the role 17 connections more",
        "or run fewer workers: pytest -n 6",
        "or have the others need fewer: --pristine-pool=2",
    ]
