"""Whether the rest of a history may be applied on top of what its first revisions made: in doubt it may not."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from pytest_pristine import Alembic, Command, SqlFiles, Steps
from pytest_pristine.errors import MigrationError
from pytest_pristine.migrations import evidence, revision_sources
from pytest_pristine.migrations.evidence import Migrated
from pytest_pristine.migrations.footing import Footing
from pytest_pristine.migrations.growing import Growing
from tests.migrations.conftest import History

CONTEXT = """
    from alembic import context

    import models

    connection = context.config.attributes["connection"]
    {before}
    context.configure(connection=connection, target_metadata=models.metadata{options})
    with context.begin_transaction():
        context.run_migrations()
    {after}
"""
ASYNCHRONOUS = """
    import asyncio

    from alembic import context
    from sqlalchemy import pool
    from sqlalchemy.ext.asyncio import create_async_engine

    import models

    def migrate(connection):
        context.configure(connection=connection, target_metadata=models.metadata)
        with context.begin_transaction():
            context.run_migrations()

    async def main():
        url = context.config.get_main_option("sqlalchemy.url")
        engine = create_async_engine(url, poolclass=pool.NullPool)
        async with engine.connect() as connection:
            await connection.run_sync(migrate)
        await engine.dispose()

    asyncio.run(main())
"""
MODELS = "from sqlalchemy import MetaData\n\nmetadata = MetaData()\n"
NAMED = 'from sqlalchemy import MetaData\n\nmetadata = MetaData(naming_convention={"pk": "pk_of_%(table_name)s"})\n'
LISTENS = """
    from sqlalchemy import MetaData, Table, event

    metadata = MetaData()

    @event.listens_for(Table, "after_create")
    def created(table, connection, **given):
        pass
"""
MAKES = "import sqlalchemy as sa\nop.create_table('orders', sa.Column('id', sa.Integer, primary_key=True))"


class Grower(History):
    """A history whose env.py imports models, and that is seen to grow."""

    def lay_out(self, env: str = CONTEXT, *, before: str = "", options: str = "", after: str = "") -> None:
        """Write env.py, models, and a second revision that makes a table with Alembic's operations."""
        self.write("models.py", MODELS)
        self.write("migrations/env.py", env.format(before=before, options=options, after=after))
        self.revise("0002", "0001", MAKES)

    def growing(self) -> Growing:
        """The history as it is now."""
        found = Growing.of(self.alembic(environment={"PYTHONPATH": str(self.project.path)}, grows=True))
        assert found is not None
        return found

    def built(self) -> tuple[Migrated, Footing]:
        """Bring the database to head from nothing."""
        made = self.growing().alembic.migrate(self.url)
        footing = evidence.footing_of(made)
        assert footing is not None
        return made, footing

    def extended(self, made: Migrated, footing: Footing) -> str:
        """Apply the rest to the same database; gives why not, or nothing."""
        assert self.growing().follows(made, footing)
        found = {} if made.evidence is None else made.evidence.as_dict()
        try:
            self.growing().extend(self.url, made, footing, found)
        except MigrationError as error:
            return error.found
        return ""


@pytest.fixture
def grower(history: History) -> Grower:
    """A history that has grown by one revision, and the database it goes to, which is empty."""
    made = Grower(history.project, history.server, history.url)
    made.lay_out()
    return made


@pytest.mark.parametrize("env", [CONTEXT, ASYNCHRONOUS], ids=["synchronous", "asynchronous"])
def test_what_is_seen_of_a_plain_history(grower: Grower, env: str) -> None:
    """Revisions that use Alembic alone are known to depend on themselves, env.py and the database."""
    grower.lay_out(env)
    made, footing = grower.built()
    names = ["0001_users", "0002_change"]
    assert footing == Footing(
        applied=[[name[:4], f"file:migrations/versions/{name}.py"] for name in names],
        bound=False,
        fixed=["file:migrations/env.py"],
        listed=["directory:migrations/versions"],
        facts=footing.facts,
        outside=[],
    )
    grower.write("models.py", MODELS + "\nOTHER = 1\n")
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    assert grower.extended(made, footing) == ""
    assert grower.revisions() == ["0003"]


@pytest.mark.parametrize("env", [CONTEXT, ASYNCHRONOUS], ids=["synchronous", "asynchronous"])
def test_code_of_the_application_that_ran_with_a_revision(grower: Grower, env: str) -> None:
    """What a listener of the application's does to a revision depends on it, though no revision names it."""
    grower.lay_out(env)
    grower.write("models.py", LISTENS)
    made, footing = grower.built()
    assert footing.bound
    grower.write("models.py", MODELS)
    assert not grower.growing().follows(made, footing)


@pytest.mark.parametrize(
    ("body", "reaches"),
    [
        ("import models", True), ("from models import metadata", True), ("from . import models", True),
        ("__import__('models')", True), ("import sys; sys.modules['models']", True),
        ("op.get_context().opts['target_metadata']", True), ("from importlib import import_module", True),
        ("import os; os.environ.get('X')", True), ("def", True),
        ("import sqlalchemy.dialects.postgresql as pg, json", False), ("op.create_table('config')", False),
    ],
)  # fmt: skip
def test_a_source_that_reaches_the_application(tmp_path: Path, body: str, reaches: bool) -> None:  # noqa: FBT001
    """By what a revision imports and names it is told whether the application may decide what it does."""
    path = tmp_path / "0001.py"
    path.write_text(f"from alembic import op\n\n\ndef upgrade():\n    if op is None:\n        {body}\n")
    assert revision_sources.reaches_application(path) is reaches


def test_a_revision_that_reaches_the_application(grower: Grower) -> None:
    """A revision that may use the models is not the same when they have changed, and is when nothing has."""
    grower.revise("0002", "0001", f"{MAKES}\nif op is None:\n    import models")
    made, footing = grower.built()
    assert footing.bound
    assert not footing.doubts
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    assert grower.growing().follows(made, footing)
    grower.write("models.py", MODELS + "\nOTHER = 1\n")
    assert not grower.growing().follows(made, footing)


def test_what_a_revision_reads(grower: Grower) -> None:
    """A file that a revision reads decides it for good, also when the template was built in two parts."""
    grower.write("first.sql", "SELECT 1")
    grower.revise("0002", "0001", f"import pathlib\nop.execute(pathlib.Path('first.sql').read_text())\n{MAKES}")
    made, footing = grower.built()
    assert footing.fixed == ["file:first.sql", "file:migrations/env.py"]
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    grown = grower.growing().extend(grower.url, made, footing, {})
    assert grown.footing is not None
    assert (grown.footing.revisions, grown.footing.fixed) == (["0001", "0002", "0003"], footing.fixed)
    assert grown["file:first.sql"] == made["file:first.sql"]
    grower.write("first.sql", "SELECT 2")
    assert not grower.growing().follows(grown, grown.footing)


def test_what_may_not_have_changed(grower: Grower) -> None:
    """A revision that was edited or removed, another env.py, and a package of another version are told beforehand."""
    made, footing = grower.built()
    assert grower.growing().follows(made, footing)
    path = grower.project.path / "migrations/versions/0001_users.py"
    for edited in (path, path.with_name("0002_change.py"), grower.project.path / "migrations/env.py"):
        text = edited.read_text()
        edited.write_text(text + "\n# edited\n")
        assert not grower.growing().follows(made, footing)
        edited.write_text(text)
    path.rename(path.with_name("0001_persons.py"))
    assert not grower.growing().follows(made, footing)
    path.with_name("0001_persons.py").rename(path)
    other = Migrated({**made, "package:sqlalchemy": "1.0"}, made.evidence)
    assert not grower.growing().follows(other, footing)
    assert grower.growing().follows(made, footing)


def test_revisions_after_which_others_may_do_something_else(grower: Grower) -> None:
    """What one session of all revisions has, and one of the later ones alone has not, lets nothing be built on it."""
    body = """
op.execute("SELECT set_config('app.tenant', 'acme', false)")
op.execute('CREATE TEMP TABLE notes ()')
op.execute('CREATE SEQUENCE numbers CACHE 10')
op.execute('ALTER TABLE users ADD UNIQUE (id) DEFERRABLE')
op.execute('SET LOCAL check_function_bodies TO off')
op.execute("CREATE TYPE mood AS ENUM ('sad')")
op.execute("ALTER TYPE mood ADD VALUE 'glad'")"""
    grower.revise("0002", "0001", MAKES + body)
    made, footing = grower.built()
    assert sorted(footing.doubts) == [
        "a constraint can be deferred to the end of the transaction of all revisions",
        "a revision changed what its session is set to",
        "a revision sets a variable of the project's own",
        "a sequence gives several values at a time to a session",
        "a temporary table is left",
        "a value is added to an enum, which the transaction of all revisions could not use",
    ]
    assert not grower.growing().follows(made, footing)


@pytest.mark.parametrize(
    "body",
    [
        "import os; os.environ.get('X')", "import pathlib; pathlib.Path('x').exists()", "op.get_context().script",
        "import subprocess", "from alembic import context; context.get_head_revision()", "def",
    ],
)  # fmt: skip
def test_a_source_that_looks_around(tmp_path: Path, body: str) -> None:
    """What a revision asks of its surroundings, and no file has, may be answered otherwise another time."""
    path = tmp_path / "0001.py"
    path.write_text(f"from alembic import op\n\n\ndef upgrade():\n    {body}\n")
    assert revision_sources.looks_around(path)
    path.write_text("from alembic import op\n\n\ndef upgrade():\n    op.execute('SELECT exists()')\n")
    assert not revision_sources.looks_around(path)


def test_a_revision_that_looks_around(grower: Grower) -> None:
    """Nothing is built on what it did."""
    grower.revise("0002", "0001", f"import os\nos.environ.get('TENANT')\n{MAKES}")
    _, footing = grower.built()
    assert footing.doubts == ["a revision may look for what is not recorded"]


@pytest.mark.parametrize("statement", ["SET app.current.tenant = 'x'", "SELECT setseed(0.5)"])
def test_what_the_server_does_not_tell_of_a_session(grower: Grower, statement: str) -> None:
    """Variables of a project's own, with any number of dots, and the seed of random numbers are known by statements."""
    grower.revise("0002", "0001", f'op.execute("{statement}")')
    _, footing = grower.built()
    assert footing.doubts == ["a revision sets a variable of the project's own"]


def test_a_transaction_of_env_pys_own(grower: Grower) -> None:
    """Where env.py has begun one, all revisions are in it, whatever was said of a transaction for each."""
    grower.lay_out(
        before="connection.exec_driver_sql('SET LOCAL lock_timeout TO 0')", options=", transaction_per_migration=True",
        after="connection.commit()",
    )  # fmt: skip
    grower.revise("0002", "0001", "op.execute('ALTER TABLE users ADD UNIQUE (id) DEFERRABLE')")
    _, footing = grower.built()
    assert "a constraint can be deferred to the end of the transaction of all revisions" in footing.doubts


def test_a_file_beside_the_history(grower: Grower) -> None:
    """What a program or the server may have read for a revision decides it; notes and what is released do not."""
    grower.write("migrations/seed.csv", "1")
    grower.write("migrations/README", "A history.")
    made, footing = grower.built()
    assert footing.fixed == ["file:migrations/env.py", "file:migrations/seed.csv"]
    assert grower.growing().follows(made, footing)
    grower.write("migrations/README", "The history.")
    grower.write("migrations/released.txt", "0001 abc")
    assert grower.growing().follows(made, footing)
    grower.write("migrations/seed.csv", "2")
    assert not grower.growing().follows(made, footing)


def test_revisions_that_come_from_other_files(grower: Grower) -> None:
    """Revisions of the same names in a directory that took the place of theirs are others."""
    versions = grower.project.path / "migrations/versions"
    versions.rename(versions.with_name("first"))
    versions.symlink_to("first")
    made, footing = grower.built()
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    shutil.copytree(versions.with_name("first"), versions.with_name("second"))
    versions.unlink()
    versions.symlink_to("second")
    assert "something else has changed" in grower.extended(made, footing)


def test_schemas_that_env_py_has_translated(grower: Grower) -> None:
    """Where the application's settings say which schema stands for another, other settings are another history."""
    grower.lay_out(before="connection = connection.execution_options(schema_translate_map={'tenant': models.SCHEMA})")
    grower.write("models.py", MODELS + "SCHEMA = 'public'\n")
    made, footing = grower.built()
    assert footing.doubts == []
    grower.write("models.py", MODELS + "SCHEMA = 'other'\n")
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    assert "configures the migrations in another way" in grower.extended(made, footing)


def test_what_env_py_sets_before_revisions_are_loaded(grower: Grower) -> None:
    """Revisions find at their import what env.py has set, as `alembic upgrade` has it, and its arguments are there."""
    grower.lay_out(before="import os; os.environ['TABLE'] = 'set'; context.get_starting_revision_argument()")
    grower.write(
        "migrations/versions/0002_change.py",
        """
        import os

        from alembic import op

        revision, down_revision = "0002", "0001"
        TABLE = os.environ.get("TABLE", "unset")


        def upgrade():
            op.execute(f"CREATE TABLE {TABLE} ()")
        """,
    )
    grower.built()
    assert "set" in grower.tables()


def test_an_env_py_that_does_more(grower: Grower) -> None:
    """What env.py does besides the migrations would be done twice, or at another time: nothing is built on that."""
    after = """
    for statement in "CREATE TABLE extra ()", "SELECT lo_create(1)":
        connection.exec_driver_sql(statement)
    connection.commit()
    connection.connection.cursor().execute("SELECT 1")
    connection.commit()
    with context.begin_transaction():
        context.run_migrations()
    """
    grower.lay_out(after=after, options=", on_version_apply=lambda **given: None")
    _, footing = grower.built()
    assert sorted(footing.doubts) == [
        "env.py calls lo_create",
        "env.py executes CREATE TABLE extra ()",
        "env.py is told of each revision",
        "env.py may use a connection of the driver's own",
        "env.py runs migrations more than once",
        "the database was not empty",
        "the revisions would run in another order on an empty database",
    ]


def test_an_env_py_that_makes_what_is_missing(grower: Grower) -> None:
    """Schemas that env.py makes if need be, and a transaction for each revision, are no hindrance."""
    grower.lay_out(
        before="connection.exec_driver_sql('CREATE SCHEMA IF NOT EXISTS app'); connection.commit()",
        options=", transaction_per_migration=True, version_table_schema='app'",
    )
    made, footing = grower.built()
    assert (footing.doubts, footing.outside) == ([], ["CREATE SCHEMA IF NOT EXISTS app"])
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    assert grower.extended(made, footing) == ""
    assert grower.ask("SELECT version_num FROM app.alembic_version") == "0003"


def test_models_that_would_change_earlier_revisions(grower: Grower) -> None:
    """A naming convention is seen when the rest is applied; what changes what any operation does, beforehand."""
    made, footing = grower.built()
    grower.write("models.py", NAMED)
    grower.revise("0003", "0002", "op.execute('ALTER TABLE orders ADD age int')")
    assert "configures the migrations in another way" in grower.extended(made, footing)
    grower.write("models.py", LISTENS)
    assert not grower.growing().follows(made, footing)


def test_a_revision_that_would_run_before_others(grower: Grower) -> None:
    """Revisions that an empty database would have had earlier, on a branch that was merged, are not the rest."""
    made, footing = grower.built()
    grower.revise("0003", "0001", "op.execute('CREATE TABLE branch ()')")
    merge = 'revision, down_revision = "0004", {}\n\n\ndef upgrade():\n    pass\n'
    grower.write("migrations/versions/0004_merge.py", merge.format(("0002", "0003")))
    assert "another order on an empty database" in grower.extended(made, footing)
    assert grower.revisions() == ["0002"]
    grower.write("migrations/versions/0004_merge.py", merge.format(("0003", "0002")))
    assert grower.extended(made, footing) == ""
    assert grower.revisions() == ["0004"]


def test_what_can_grow() -> None:
    """A history that may, alone or after files of SQL, can; none that is followed by something, or runs here."""
    alembic = Alembic("alembic.ini", grows=True)  # type: ignore[arg-type] # as it is written in a conftest.py

    class Own(Alembic):
        """It may do anything."""

    assert Growing.of(alembic)
    assert Growing.of(Steps(SqlFiles("extensions.sql"), alembic))
    for other in (
        Steps(alembic, SqlFiles("seeds")),
        Steps(Command("make"), alembic),
        Steps(alembic, alembic),
        Alembic("alembic.ini", inline=True, grows=True),  # type: ignore[arg-type] # the same
        Alembic("alembic.ini"),  # type: ignore[arg-type] # the same
        Own("alembic.ini", grows=True),  # type: ignore[arg-type] # the same
        SqlFiles("schema.sql"),
    ):
        assert Growing.of(other) is None


def test_a_footing_of_another_version() -> None:
    """What another version of ours noted is passed over."""
    assert Footing.read({"unheard_of": 1}) is None
    assert Footing.read({}) is None
