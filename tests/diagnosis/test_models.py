"""Migrations, really run, and models compared with them."""

from __future__ import annotations

import re
from collections.abc import Callable

import pytest
from sqlalchemy.engine import URL

from tests.cli.test_up import pristine
from tests.conftest import AVAILABLE, CALLED, Home, Project, Server, new_database, new_role
from tests.diagnosis.conftest import call, doctor, full

_ENV_PY = """
    from alembic import context
    import models

    context.configure(connection=context.config.attributes["connection"], target_metadata=models.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
_SAME = """
    from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint

    metadata = MetaData()
    users = Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False),
                  UniqueConstraint("name"))
"""
_OTHER = """
    from sqlalchemy import BigInteger, Column, ForeignKey, Index, Integer, MetaData, Table, Text

    metadata = MetaData()
    users = Table("users", metadata, Column("id", BigInteger, primary_key=True), Column("name", Text),
                  Column("email", Text), Index("users_email", "email"))
    orders = Table("orders", metadata, Column("id", Integer, primary_key=True))
"""


@pytest.fixture
def with_models(project: Project) -> Callable[[str], Project]:
    """A function that gives the project models."""

    def write(models: str) -> Project:
        project.write("models.py", models)
        project.write("alembic.ini", "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\n")
        project.write("migrations/env.py", _ENV_PY)
        return project

    return write


def test_no_models(project: Project) -> None:
    """Where env.py names no models the migrations are run all the same, on the server that a run would use."""
    report = full(project)
    found = {finding["subject"]: finding for finding in report.of("models")}
    assert {finding["level"] for finding in found.values()} == {"ok"}
    assert found["server"]["found"] == CALLED
    assert found["migrations"]["found"].startswith("they bring an empty database to head; kept as pristine_")
    way = (
        "read in the WAL what a test wrote: " if "pg_walinspect" in AVAILABLE else "ask every table what a test wrote: "
    )
    assert found["restores"]["found"].startswith(way)
    assert found["models"]["found"] == "env.py names none: its target_metadata is None, and nothing was compared"
    assert report.status == 0


def test_the_next_run_finds_the_template(home: Home, project_at: Callable[[Home], Project]) -> None:
    """What the doctor migrated is what the next run works with: there is one template afterwards."""
    project = project_at(home)
    template = full(project, PRISTINE_LINGER="60").one("models", "migrations")["found"].rsplit(" ", 1)[1]
    assert project.run(PRISTINE_LINGER="60").status == 0
    assert re.findall(r"(\w+): template of", pristine(home, "status").output) == [template]


def test_models_that_agree(with_models: Callable[[str], Project]) -> None:
    """Models that are what the migrations make are said to be."""
    assert full(with_models(_SAME)).tell("models", "models") == ("ok", "they are what the migrations make", [])


def test_models_that_differ(with_models: Callable[[str], Project]) -> None:
    """Every difference is listed for people, with the line that writes the missing revision."""
    level, found, remedy = full(with_models(_OTHER)).tell("models", "models")
    assert level == "warning"
    assert remedy[0] == 'alembic -c alembic.ini revision --autogenerate -m "…"'
    first, *lines = found.splitlines()
    assert first == "they differ from the migrations in 6:"
    assert sorted(lines) == [
        "column users.email: in the models, and not in the migrations",
        "column users.id: type is INTEGER in the migrations, and BIGINT in the models",
        "column users.name: nullable is false in the migrations, and true in the models",
        "constraint users_name_key on users (name): in the migrations, and not in the models",
        "index users_email on users (email): in the models, and not in the migrations",
        "table orders: in the models, and not in the migrations",
    ]


def test_many_differences(with_models: Callable[[str], Project]) -> None:
    """A long list is cut, and its length told."""
    many = "\n    from sqlalchemy import Column, Integer, MetaData, Table\n\n    metadata = MetaData()\n" + "".join(
        f"    Table('t{number}', metadata, Column('id', Integer))\n" for number in range(30)
    )
    found = full(with_models(many)).one("models", "models")["found"].splitlines()
    assert found[0] == "they differ from the migrations in 31:"
    assert len(found) == 22
    assert found[-1] == "and 11 more"


def test_models_that_cannot_be_compared(with_models: Callable[[str], Project]) -> None:
    """What keeps models from being compared is told; migrations and tests are not concerned."""
    report = full(with_models(_SAME + "\n    metadata = 7\n"))
    level, found, remedy = report.tell("models", "models")
    assert level == "warning"
    assert found.startswith("they cannot be compared: ")
    assert remedy == ["alembic -c alembic.ini check shows it too"]
    assert report.status == 0


def test_a_failing_migration(project: Project) -> None:
    """A failing migration has failed, with the three parts of its error."""
    project.write(
        "migrations/versions/0002.py",
        """
        from alembic import op
        revision, down_revision = "0002", "0001"
        def upgrade():
            op.execute("SELECT nosuch")
        """,
    )
    report = full(project)
    finding = report.one("models", "migrations")
    assert finding["level"] == "failed"
    assert finding["sought"].startswith("to migrate an empty database to head with ")
    assert 'revision 0002 in migrations/versions/0002.py failed: column "nosuch" does not exist' in finding["found"]
    assert finding["remedy"][0] == "mend the migration"
    assert report.status == 1


def test_migrations_that_go_elsewhere(project: Project) -> None:
    """An env.py that ignores its URL has failed; it is a warning where the project has its own `apply_migrations`."""
    project.write(
        "migrations/env.py",
        """
        from alembic import context
        from sqlalchemy import create_engine
        with create_engine("postgresql+psycopg://localhost:1/other").connect() as connection:
            context.configure(connection=connection)
        """,
    )
    finding = full(project).one("models", "migrations")
    assert finding["level"] == "failed"
    assert finding["found"] == "env.py connects to the postgresql database 'other' instead; it was refused"
    project.write("conftest.py", "def apply_migrations():\n    pass\n")
    (finding,) = [each for each in full(project).of("models") if each["level"] != "ok"]
    assert (finding["level"], finding["subject"]) == ("warning", "migrations (without your own apply_migrations)")


def test_a_role_that_may_make_no_database(project: Project, server: Server) -> None:
    """Where a run works in place the doctor does, in the database that the user named."""
    with new_role(server, "NOCREATEDB") as role, new_database(server, str(role.username)) as database:
        url = role.set(database=database.database).render_as_string(hide_password=False)
        report = full(project, TEST_DATABASE_URL=url)
    assert report.tell("models", "migrations") == ("ok", "they bring an empty database to head; in place", [])
    assert str(role.password) not in str(report.whole)


def test_a_database_of_somebody_else(project: Project, server: Server, database: URL) -> None:
    """A database with something in it that is not ours has failed, and is not touched."""
    with server.connect(database.database) as connection:
        connection.execute("CREATE TABLE precious ()")
    finding = full(project, TEST_DATABASE_URL=database.render_as_string(hide_password=False)).one("models", "server")
    assert finding["level"] == "failed"
    assert finding["found"].endswith("and no mark of ours. Nothing was touched")
    with server.connect(database.database) as connection:
        assert connection.execute("SELECT to_regclass('precious')::text").fetchone() == ("precious",)


def test_no_server(project: Project) -> None:
    """Where a run has no server the error of the run is shown."""
    finding = full(project, PRISTINE_SERVER="up", PRISTINE_POSTGRES_VERSION="").one("models", "server")
    assert finding["level"] == "failed"
    assert finding["sought"] == "a Postgres server (PRISTINE_SERVER: up)"


def test_quick(home: Home, project_at: Callable[[Home], Project]) -> None:
    """A quick look starts no server and makes nothing."""
    report = doctor(project_at(home))
    assert report.of("models")[0]["found"] == "not looked at, because of --quick"
    assert not home.processes()
    assert list(home.path.iterdir()) == []


def test_the_server_is_given_back(home: Home, project_at: Callable[[Home], Project]) -> None:
    """The server that the doctor started stops as after a run, and no database of its own is left."""
    run = call(project_at(home), PRISTINE_LINGER="60")
    assert run.status == 0, run.output
    listed = call(project_at(home), PRISTINE_LINGER="0")
    assert listed.status == 0
    assert "leftovers  none" in listed.output


def test_models_that_make_the_schema(project: Project) -> None:
    """Tables that are made from models, beside migrations that are never run, are warned of."""
    project.write("pytest.ini", "[pytest]\npristine_migrations = models: models:metadata\n")
    project.write("models.py", "from sqlalchemy import *\nmetadata = MetaData()\nTable('made', metadata)\n")
    report = full(project)
    assert report.one("models", "migrations")["found"].startswith("the schema is made by models: models:metadata; kept")
    assert report.tell("models", "models") == (
        "warning", "the schema is made from them, and alembic.ini is never tested",
        ["set pristine_migrations = alembic, which tests what production will run"],
    )  # fmt: skip
