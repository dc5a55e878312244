"""What makes the schema, as the ini file and a project's own `apply_migrations` say it."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import Home, Project, lay_out

_STEPS = """
    [pytest]
    addopts = -p no:randomly --pristine-proof=off
    pristine_migrations =
        alembic
        models: models:metadata
        sql: seeds
        call: filling:fill {url:postgresql}
        command: python -c "import psycopg; psycopg.connect('', autocommit=True).execute('CREATE TABLE of_command ()')"
"""
_TESTS = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.parametrize("again", range(4))
    def test_every_step(postgres_engine, clean_database, again):
        with postgres_engine.begin() as connection:
            found = connection.execute(text("SELECT name FROM users ORDER BY id")).scalars().all()
            assert found == ["root", "of sql", "of call"]
            connection.execute(text("INSERT INTO users (name) VALUES ('of a test')"))
            assert connection.execute(text("SELECT count(*) FROM of_models, of_command")).scalar_one() == 0
"""


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project whose schema is made in five steps, of all kinds."""
    made = lay_out(tmp_path / "shop", shared_home)
    made.write("pytest.ini", _STEPS)
    made.write("models.py", "from sqlalchemy import *\nmetadata = MetaData()\nTable('of_models', metadata)\n")
    made.write("seeds/1.sql", "INSERT INTO users (name) VALUES ('of sql');")
    made.write("filling.py", """
        import psycopg

        def fill(url):
            with psycopg.connect(url) as connection:
                connection.execute("INSERT INTO users (name) VALUES ('of call')")
    """)  # fmt: skip
    made.write("test_users.py", _TESTS)
    return made


def test_steps_of_all_kinds(project: Project) -> None:
    """The steps are run in order, once for all workers, and the checklist names them beside what Alembic says."""
    run = project.run("-n", "2", "-p", "xdist", "--pristine-create-db")
    assert run.status == 0, run.output
    assert "4 passed" in run.output
    said = run.message()
    assert "at 0001 (head); env.py names no models; ran models: models:metadata (1 table), sql: seeds" in said
    assert "(1 file, the last 1.sql), call: filling:fill, command: python -c" in said
    project.write("seeds/1.sql", "INSERT INTO users (name) VALUES ('of another');")
    run = project.run()
    assert run.status == 1, "the template of another state was used"
    assert "of another" in run.output


def test_no_alembic_and_nothing_is_missed(project: Project) -> None:
    """Without a step of Alembic's no alembic.ini is looked for, and the checklist says what ran."""
    (project.path / "alembic.ini").unlink()
    project.write("pytest.ini", "[pytest]\npristine_migrations = sql: seeds\n")
    project.write("seeds/0.sql", "CREATE TABLE users (id serial, name text)")
    project.write("test_users.py", _TESTS.split("assert found", maxsplit=1)[0])
    run = project.run()
    assert run.status == 0, run.output
    assert "ran sql: seeds (2 files, the last 1.sql); no models are compared" in run.message()


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("call: filling", "sought: package.module:name, in pristine_migrations in the ini file found: call: filling"),
        ("alembic: -z", "alembic: [NAME=value …] [path] [-n section] [-x argument] [--target revision]"),
        ("alembic: gone.ini", "gone.ini (pristine_migrations in the ini file) found: no such file"),
        ("command: python 'x", "a line whose quotes are all closed, in pristine_migrations in the ini file"),
        ("sql: gone", "found: no such file or directory"),
        ("call: gone:fill", "sought: the module gone of call: gone:fill found: no module gone in"),
        ("models: models gone.more:metadata", "sought: the module gone.more of models: models gone.more:metadata"),
        ("flyway: x", "lines of the kinds alembic, alembic: …, sql: …, command: …, call: …, models: …"),
    ],
)
def test_lines_that_cannot_be_read(project: Project, line: str, said: str) -> None:
    """A line that says nothing that can be done is told, with where it stands."""
    project.write("pytest.ini", f"[pytest]\npristine_migrations = {line}\n")
    run = project.run()
    assert run.status == 4
    assert said in run.message()
    assert "error in" not in run.message()


def test_a_module_that_a_step_before_it_may_write(project: Project) -> None:
    """A module that is not there yet is no error before a command has run."""
    write = "import pathlib; pathlib.Path('made.py').write_text('def fill(url): pass')"
    write += "; import psycopg; psycopg.connect('', autocommit=True).execute('CREATE TABLE of_command ()')"
    line = f'command: python -c "{write}"'
    project.write("pytest.ini", f"[pytest]\npristine_migrations =\n    {line}\n    call: made:fill\n")
    project.write("test_users.py", "def test_it(clean_database): pass\n")
    run = project.run()
    assert run.status == 0, run.output


def test_two_databases(project: Project) -> None:
    """A run may have two databases: each is migrated for itself, and each can be put back."""
    project.write("pytest.ini", "[pytest]\naddopts = -p no:randomly\n")
    project.write("conftest.py", """
        import pytest
        from pytest_pristine import SqlFiles, Alembic
        from sqlalchemy import create_engine

        @pytest.fixture(scope="session")
        def apply_migrations(postgres_server):
            with postgres_server.migrated_database(Alembic("alembic.ini")) as database:
                yield database

        @pytest.fixture(scope="session")
        def archive(postgres_server):
            with postgres_server.migrated_database(SqlFiles("archive")) as database:
                yield database

        @pytest.fixture
        def archive_engine(archive):
            engine = create_engine(archive.url)
            yield engine
            engine.dispose()
            archive.rebuild()
    """)  # fmt: skip
    project.write("archive/1.sql", "CREATE TABLE items (id serial); INSERT INTO items DEFAULT VALUES")
    project.write("test_users.py", """
        import pytest
        from sqlalchemy import text

        @pytest.mark.parametrize("again", range(2))
        def test_both(postgres_engine, clean_database, archive_engine, again):
            assert postgres_engine.url.database != archive_engine.url.database
            with postgres_engine.begin() as one, archive_engine.begin() as other:
                one.execute(text("INSERT INTO users (name) VALUES ('ada')"))
                assert other.execute(text("INSERT INTO items DEFAULT VALUES RETURNING id")).scalar_one() == 2
    """)  # fmt: skip
    run = project.run("-n", "2", "-p", "xdist")
    assert run.status == 0, run.output
    assert "2 passed" in run.output
