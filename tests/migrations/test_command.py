"""Making the schema with a command: what it is given, what its result depends on, and what is said when it fails."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationError, StepConfigError, StepFailedError, StrayMigrationError
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.command import Command
from pytest_pristine.migrations.steps import Steps
from pytest_pristine.migrations.surroundings import Surroundings
from tests.conftest import Server

_MAKES = """
    import os, sys, psycopg

    with psycopg.connect(os.environ[sys.argv[1]] if len(sys.argv) > 1 else "") as connection:
        connection.execute("CREATE TABLE made (name text)")
"""
_IN_AN_ARGUMENT = (
    "python -c \"import sys, psycopg\nwith psycopg.connect(sys.argv[1]) as c: c.execute('CREATE TABLE made ()')\" {url}"
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with a program that makes a table."""
    tmp_path.joinpath("make.py").write_text("\n".join(line[4:] for line in _MAKES.splitlines()))
    return tmp_path


def fails(command: Command, url: URL, kind: type[MigrationError]) -> str:
    """Run it in vain; gives the message, in which no password may stand."""
    with pytest.raises(MigrationError) as caught:
        command.migrate(url)
    assert type(caught.value) is kind, caught.value
    assert str(url.password) not in str(caught.value)
    return str(caught.value)


def tables(server: Server, url: URL) -> list[str]:
    """The tables that were made."""
    return server.ask("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1", url.database).split()


@pytest.mark.parametrize(
    "command",
    [
        "python make.py DATABASE_URL",
        "python make.py",
        "APP_DB={url} python make.py APP_DB",
        ["python", "make.py"],
        _IN_AN_ARGUMENT,
    ],
)
def test_ways_to_the_url(root: Path, database: URL, server: Server, command: str | list[str]) -> None:
    """A command finds the database in DATABASE_URL, in libpq's variables, in one of its own, or in an argument."""
    found = Command(command, root=root).migrate(database)
    assert tables(server, database) == ["made"]
    known = evidence.of(found)
    assert known is not None
    assert str(known.ran[0]).startswith("command: python ")


def test_what_was_exported_for_development_is_hidden(
    root: Path, database: URL, server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A DATABASE_URL and libpq variables that were exported, or a service, do not lead the command elsewhere."""
    monkeypatch.setenv("DATABASE_URL", "postgresql://nobody@localhost:1/development")
    monkeypatch.setenv("PGHOST", "no.such.host.invalid")
    monkeypatch.setenv("PGDATABASE", "development")
    around = Surroundings.here()
    around = Surroundings(around.path, {**around.environ, "PGSERVICE": "development"})
    second = "import psycopg; psycopg.connect('', autocommit=True).execute('CREATE TABLE second ()')"
    steps = (Command("python make.py DATABASE_URL", root=root, surroundings=around),
             Command(["python", "-c", second], root=root, surroundings=around))  # fmt: skip
    Steps(*steps).migrate(database)
    assert tables(server, database) == ["made", "second"]


def test_variables_in_code(root: Path, database: URL, server: Server) -> None:
    """Variables may be given beside the command, with the URL for a driver of its own."""
    script = "import os; assert os.environ['A'].startswith('postgresql+asyncpg://') and os.environ['B'] == 'plain'"
    root.joinpath("check.py").write_text(f"{script}\n{root.joinpath('make.py').read_text()}")
    Command("python check.py", {"A": "{url:postgresql+asyncpg}", "B": "plain"}, root=root).migrate(database)
    assert tables(server, database) == ["made"]


def test_a_command_that_fails(root: Path, database: URL) -> None:
    """Its status and the end of its output are told, without the password."""
    root.joinpath("bad.py").write_text(
        "import os, sys\nfor n in range(99):\n    print('line', n)\nprint(os.environ['DATABASE_URL'])\nsys.exit(3)\n"
    )
    message = fails(Command("python bad.py", root=root), database, StepFailedError)
    assert "to make the schema with command: python bad.py" in message
    assert "it ended with status 3" in message
    assert "line 98" in message
    assert "line 70" not in message
    assert f":***@{database.host}" in message
    assert f"it is run in {root}" in message


def test_a_command_without_words(root: Path, database: URL) -> None:
    """A command that fails and prints nothing is said to."""
    message = fails(Command([sys.executable, "-c", "raise SystemExit(1)"], root=root), database, StepFailedError)
    assert "it ended with status 1, and printed nothing" in message


def test_a_command_that_takes_too_long(root: Path, database: URL) -> None:
    """With a limit it is ended, with what it started, and the error says so."""
    waits = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; time.sleep(600)'])"
    message = fails(Command(["python", "-c", waits], root=root, limit=1), database, StepFailedError)
    assert "it was not done within 1 s" in message


def test_a_command_that_works_elsewhere(root: Path, database: URL) -> None:
    """A command that leaves the empty database empty is an error that tells how to give it the URL."""
    message = fails(Command("python -V", root=root), database, StrayMigrationError)
    assert "it ended without an error and left the database empty" in message
    assert "pristine_migrations = command: NAME={url} python -V" in message


def test_a_step_that_only_fills(root: Path, database: URL) -> None:
    """After a step that made tables, one that makes none is no error."""
    Steps(Command("python make.py", root=root), Command("python -V", root=root)).migrate(database)


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("no-such-program --now", "no such program on the PATH"),
        ("./bin/gone", "no program"),
        ("APP={url}", "none: 'APP={url}'"),
        ('python -c "print()', "close the quotes"),
    ],
)
def test_what_cannot_be_run(root: Path, database: URL, command: str, said: str) -> None:
    """A program that is not there, or none at all, is told before anything runs."""
    assert said in fails(Command(command, root=root), database, StepConfigError)


def test_a_program_of_the_project(root: Path, database: URL, server: Server) -> None:
    """A program is found by its path in the project, whatever the current directory is."""
    path = root / "bin" / "migrate"
    path.parent.mkdir()
    path.write_text(f"#!{sys.executable}\n{root.joinpath('make.py').read_text()}")
    path.chmod(0o755)
    Command("./bin/migrate", root=root).migrate(database)
    assert tables(server, database) == ["made"]


def test_a_path_of_windows() -> None:
    """Backslashes are no escapes: a path of Windows is a path."""
    assert str(Command(r"C:\tools\flyway.cmd migrate")) == r"command: C:\tools\flyway.cmd migrate"


def test_what_its_result_depends_on(root: Path) -> None:
    """Any file of the project may be read by a command, but for tests and what programs write."""
    command = Command("python make.py", root=root)
    before = command.fingerprint()
    for name in ("test_x.py", "conftest.py", "run.log", ".cache/x", "__pycache__/x.pyc", "node_modules/x.js"):
        root.joinpath(name).parent.mkdir(exist_ok=True)
        root.joinpath(name).write_text("1")
    assert command.fingerprint() == before
    seen = {before}
    for name in ("app.py", "deep/er/schema.sql", ".env"):
        root.joinpath(name).parent.mkdir(exist_ok=True, parents=True)
        root.joinpath(name).write_text("1")
        seen.add(command.fingerprint())
    root.joinpath("app.py").write_text("2")
    seen.add(command.fingerprint())
    large = root / "dump.bin"
    large.write_bytes(b"0" * 1_100_000)
    os.utime(large, (1, 1))
    seen.add(command.fingerprint())
    os.utime(large, (2, 2))
    seen.add(command.fingerprint())
    seen.add(Command("python make.py {url}", root=root).fingerprint())
    seen.add(Command("A=1 python make.py", root=root).fingerprint())
    assert len(seen) == 9


def test_inputs_that_are_named(root: Path) -> None:
    """With inputs that are named, in code or in the line, nothing else of the project counts."""
    root.joinpath("db").mkdir()
    for command in (
        Command("python make.py", inputs=["db", "make.py"], root=root),
        Command("PRISTINE_INPUTS=db,make.py python make.py", root=root),
    ):
        before = command.fingerprint()
        root.joinpath("other.py").write_text(before)
        assert command.fingerprint() == before
        root.joinpath("db", "one.sql").write_text(before)
        assert command.fingerprint() != before
        before = command.fingerprint()
        root.joinpath("make.py").write_text(before)
        assert command.fingerprint() != before


def test_modules_from_elsewhere(root: Path, tmp_path_factory: pytest.TempPathFactory,
                                monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """What the project imports from a directory beside it, and is not installed, counts too."""
    beside = tmp_path_factory.mktemp("beside")
    monkeypatch.syspath_prepend(beside)
    before = Command("python make.py", root=root).fingerprint()
    beside.joinpath("models.py").write_text("1")
    assert Command("python make.py", root=root).fingerprint() != before
