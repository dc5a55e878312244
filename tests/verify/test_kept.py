"""Databases of failed tests that are kept, to be looked at."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator

import psycopg
import pytest

from tests.conftest import Home, Project, Run, Server, lay_out, new_home, new_role
from tests.verify.conftest import PLAIN

FAILING = """
    from sqlalchemy import text
    import pytest

    @pytest.mark.parametrize("number", range(3))
    def test_fails(postgres_engine, clean_database, number):
        with postgres_engine.begin() as connection:
            connection.execute(text(f"INSERT INTO users (name) VALUES ('ada {number}')"))
        assert False

    def test_finds_it_pristine(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 1
"""


@pytest.fixture
def home() -> Iterator[Home]:
    """A home of its own: what was kept last is one for all projects in a home."""
    with new_home() as made:
        yield made


@pytest.fixture
def failing(home: Home, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """A project whose tests fail."""
    project = lay_out(tmp_path_factory.mktemp("failing") / "shop", home)
    project.write("test_users.py", FAILING)
    return project


def pristine(project: Project, *words: str) -> Run:
    """Run a command in a project."""
    done = subprocess.run(
        _command(*words),
        cwd=project.path, env=dict(project.environ), capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    return Run(done.returncode, done.stdout + done.stderr)


def _command(*words: str) -> list[str]:
    return [sys.executable, "-c", "import sys; from pytest_pristine.cli import main; sys.exit(main())", *words]


def kept(run: Run) -> list[str]:
    """The lines of the summary about databases that were kept."""
    return [line for line in run.output.splitlines() if line.startswith("kept ")]


def names(project: Project) -> list[str]:
    """The names of all that are kept."""
    return re.findall(r"^  (\w+_failed_\w+): kept", pristine(project, "status").output, re.MULTILINE)


ASK = ("--", "-XAtc", "SELECT name FROM users ORDER BY id DESC LIMIT 1")


def test_psql_on_the_last_failed(failing: Project) -> None:
    """The database of a failed test is kept as the test left it; the line to paste opens it, and others go on."""
    run = failing.run(*PLAIN, "--pristine-keep-failed=5")
    assert "3 failed, 1 passed" in run.output
    first, _, last = kept(run)
    assert last == "kept      test_users.py::test_fails[2]: pristine psql --last-failed"
    opened = pristine(failing, "psql", "--last-failed", *ASK)
    assert "ada 2\n" in opened.output
    assert "as test_users.py::test_fails[2] left it" in opened.output
    name = first.split()[-1]
    assert first == f"kept      test_users.py::test_fails[0]: pristine psql {name}"
    assert "ada 0\n" in pristine(failing, "psql", name, *ASK).output


def test_as_many_as_are_wanted(failing: Project) -> None:
    """Of a run the first failures are kept, as many as the setting says; those of earlier runs make room for them."""
    run = failing.run(*PLAIN, "--pristine-keep-failed=2")
    assert [line.split()[1] for line in kept(run)] == ["test_users.py::test_fails[0]:", "test_users.py::test_fails[1]:"]
    before = names(failing)
    assert len(before) == 2
    failing.run(*PLAIN, "--pristine-keep-failed=2")
    after = names(failing)
    assert len(after) == 2
    assert not set(before) & set(after)


@pytest.mark.parametrize("fresh", [False, True], ids=["clean", "fresh"])
def test_with_reruns(failing: Project, fresh: bool) -> None:  # noqa: FBT001
    """Of a test that is run again the last database is kept, and the next tests that fail have theirs kept, too."""
    # Each call writes which one of all it is.
    counted = FAILING.replace("'ada {number}'", "'call {next(calls)}'").replace(
        "    import pytest\n", "    import itertools\n    import pytest\n\n    calls = itertools.count(1)\n"
    )
    if fresh:
        counted = counted.replace("postgres_engine, clean_database", "fresh_database")
        counted = counted.replace("postgres_engine", "fresh_database.engine")
    failing.write("test_users.py", counted)
    run = failing.run(*PLAIN, "-p", "rerunfailures", "--reruns=2", "--pristine-keep-failed=2")
    assert "3 failed, 1 passed, 6 rerun" in run.output, run.output
    first, second = kept(run)
    name = first.split()[-1]
    assert first == f"kept      test_users.py::test_fails[0]: pristine psql {name}"
    assert second == "kept      test_users.py::test_fails[1]: pristine psql --last-failed"
    assert len(names(failing)) == 2
    assert "call 3\n" in pristine(failing, "psql", name, *ASK).output
    assert "call 6\n" in pristine(failing, "psql", "--last-failed", *ASK).output


def test_none_unless_asked(failing: Project) -> None:
    """Nothing is kept unless that is asked for, and the command says what to type."""
    assert kept(failing.run(*PLAIN)) == []
    run = pristine(failing, "psql", "--last-failed")
    assert run.status == 1
    assert "sought: the database of a failed test found: none on" in run.message()
    assert "to do: pytest --pristine-keep-failed=3" in run.message()
    run = pristine(failing, "psql", "pristine_shop_failed_abcdef")
    assert "sought: the database 'pristine_shop_failed_abcdef' found: none on" in run.message()


def test_with_workers(failing: Project) -> None:
    """Workers of pytest-xdist count what they keep together."""
    run = failing.run(*PLAIN, "-p", "xdist", "-n2", "--dist=load", "--pristine-keep-failed=2")
    assert "3 failed, 1 passed" in run.output
    assert len(kept(run)) == len(names(failing)) == 2


def test_on_a_server_that_has_stopped(failing: Project) -> None:
    """When the server has stopped meanwhile it is started again to look at the database."""
    failing.run(*PLAIN, "--pristine-keep-failed=1", PRISTINE_LINGER="0")
    assert "ada 0\n" in pristine(failing, "psql", "--last-failed", *ASK).output


def test_prune(failing: Project) -> None:
    """`prune` leaves what was kept lately alone; `prune --all` and a later week do not."""
    failing.run(*PLAIN, "--pristine-keep-failed=3")
    old, *new = names(failing)
    assert "nothing to remove" in pristine(failing, "prune").output
    backdate = 'UPDATE pg_shdescription SET description = replace(description, \'"since": "20\', \'"since": "19\')'
    where = f"WHERE objoid = (SELECT oid FROM pg_database WHERE datname = '{old}')"
    assert "UPDATE 1" in pristine(failing, "psql", "postgres", "--", "-c", f"{backdate} {where}").output
    assert f"removed: the kept {old} of shop" in pristine(failing, "prune").output
    assert sorted(names(failing)) == sorted(new)


def test_on_a_named_server(failing: Project, server: Server) -> None:
    """On a server that was named by URL the line to paste is one of psql itself, without the password."""
    with new_role(server, "CREATEDB") as role:
        with server.connect() as client:
            client.execute(f'CREATE DATABASE "{role.username}_shop" OWNER "{role.username}"')  # type: ignore[call-overload]
        url = role.set(drivername="postgresql", database=f"{role.username}_shop").render_as_string(hide_password=False)
        run = failing.run(*PLAIN, "--pristine-keep-failed=1", TEST_DATABASE_URL=url)
        (line,) = kept(run)
        name = re.search(r"pristine_shop_failed_\w+", line)
        assert name is not None
        assert 'psql "postgresql://' in line
        assert str(role.password) not in run.output
        with psycopg.connect(url, dbname=name[0]) as client:
            assert client.execute("SELECT count(*) FROM users").fetchone() == (2,)


def test_in_place(failing: Project, server: Server) -> None:
    """Where a role may make no databases none is kept, and the reason is told in the end."""
    with new_role(server, "") as role:
        with server.connect() as client:
            client.execute(f'CREATE DATABASE "{role.username}_shop" OWNER "{role.username}"')  # type: ignore[call-overload]
        url = role.set(drivername="postgresql", database=f"{role.username}_shop").render_as_string(hide_password=False)
        run = failing.run(*PLAIN, "--pristine-keep-failed=1", TEST_DATABASE_URL=url)
        assert "3 failed, 1 passed" in run.output
        assert kept(run) == []
        assert "databases of failed tests are not kept: the role may make no other databases" in run.output
