"""Which extensions migrations create, as their text tells it."""

from __future__ import annotations

from pathlib import Path
from textwrap import dedent

import pytest

from pytest_pristine import settings
from pytest_pristine.migrations import extensions
from pytest_pristine.servers.needs import Extension


def created(path: Path, text: str, name: str = "versions/0001_first.py") -> list[Extension]:
    """What is found in a script directory with this one file."""
    file = path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(dedent(text), encoding="utf-8")
    return extensions.created_in(path, path)


@pytest.mark.parametrize(
    ("statement", "name"),
    [
        ("CREATE EXTENSION pgcrypto", "pgcrypto"),
        ("create extension if not exists PgCrypto with schema public", "pgcrypto"),
        ('CREATE EXTENSION IF NOT EXISTS "uuid-ossp";', "uuid-ossp"),
        ("SELECT 1;\nCREATE\n  EXTENSION /* really */ hstore CASCADE", "hstore"),
    ],
)
def test_statements(tmp_path: Path, statement: str, name: str) -> None:
    """However the statement is written, the name is what the server will be asked for."""
    found = created(tmp_path, f"revision = 'a1'\ndef upgrade():\n    op.execute({statement!r})\n")
    assert found == [Extension(name, "revision a1 in versions/0001_first.py")]


@pytest.mark.parametrize(
    "text",
    [
        '"""CREATE EXTENSION pgcrypto"""',
        "# CREATE EXTENSION pgcrypto",
        "def upgrade():\n    '''CREATE EXTENSION pgcrypto'''",
        "def downgrade():\n    op.execute('CREATE EXTENSION pgcrypto')",
        "op.execute('DROP EXTENSION pgcrypto')",
        "op.execute('-- CREATE EXTENSION pgcrypto\\nSELECT 1')",
        "op.execute('/* CREATE EXTENSION pgcrypto */ SELECT 1')",
        "op.execute('CREATE EXTENSION plpgsql')",
        "this is no Python: 'CREATE EXTENSION pgcrypto'",
    ],
)
def test_what_creates_nothing(tmp_path: Path, text: str) -> None:
    """Comments, docstrings, the way down, and what every server has ask for nothing."""
    assert created(tmp_path, text) == []


@pytest.mark.parametrize(
    "assignment", ["revision = 'a1'", "revision: str = 'a1'", "revision, down_revision = 'a1', None"]
)
def test_the_revision_is_named(tmp_path: Path, assignment: str) -> None:
    """The revision is told however the file says which it is."""
    (found,) = created(tmp_path, f"{assignment}\nSQL = 'CREATE EXTENSION hstore'")
    assert found.wanted_by == "revision a1 in versions/0001_first.py"


def test_files_of_sql(tmp_path: Path) -> None:
    """A file of SQL that lies beside the revisions counts, and is named itself."""
    assert created(tmp_path, "CREATE EXTENSION hstore; -- CREATE EXTENSION citext", "sql/first.sql") == [
        Extension("hstore", "sql/first.sql")
    ]


def test_the_first_one_that_creates_it(tmp_path: Path) -> None:
    """An extension that several revisions create is told once, with the first."""
    created(tmp_path, "revision = 'a1'\nSQL = 'CREATE EXTENSION IF NOT EXISTS hstore'")
    found = created(tmp_path, "revision = 'a2'\nSQL = 'CREATE EXTENSION IF NOT EXISTS hstore'", "versions/0002.py")
    assert found == [Extension("hstore", "revision a1 in versions/0001_first.py")]


def test_a_project_without_migrations(tmp_path: Path) -> None:
    """A project without an Alembic configuration creates none: whoever needs migrations is told elsewhere."""
    assert extensions.of_project(tmp_path, settings.resolve({})) == ()


def test_the_steps_of_a_project(tmp_path: Path) -> None:
    """What the files of each step create is found; a step that tells nothing asks for nothing."""
    (tmp_path / "seeds").mkdir()
    (tmp_path / "seeds/1.sql").write_text("CREATE EXTENSION hstore;")
    (tmp_path / "seeds/1.down.sql").write_text("CREATE EXTENSION ltree;")
    lines = "command: make db\nsql: seeds"
    given = settings.resolve({"PRISTINE_MIGRATIONS": lines})
    assert extensions.of_project(tmp_path, given) == (Extension("hstore", "seeds/1.sql"),)
    assert extensions.of_project(tmp_path, settings.resolve({"PRISTINE_MIGRATIONS": "sql: gone"})) == ()
