"""pytest-alembic beside us, as the page about checks of migrations says it."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Home, Project, Server, lay_out
from tests.documents import blocks
from tests.interplay.conftest import outcomes

PAGE = Path(__file__).parents[2] / "docs" / "migration-checks.md"
BLOCKS = [(block.title, block.content) for block in blocks.of(PAGE)]
AS_ENGINE, AS_CONNECTION, AS_URL = (content for title, content in BLOCKS if title == "tests/conftest.py")
# Where it is: no other run of pytest is to load its plugin.
PLACE = Path(sys.prefix) / "beside"
MODELS = """
    from sqlalchemy import Column, Integer, MetaData, Table, Text

    metadata = MetaData()
    Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", Text))
"""
# As the documents of pytest-alembic have it.
CONNECTS = """
    import models
    from alembic import context
    from sqlalchemy import engine_from_config

    connectable = context.config.attributes.get("connection", None)
    if connectable is None:
        connectable = engine_from_config(context.config.get_section(context.config.config_ini_section))
    with connectable.connect() as connection:
        context.configure(connection=connection, target_metadata=models.metadata)
        with context.begin_transaction():
            context.run_migrations()
"""
# As ours have it.
CONFIGURES = """
    import models
    from alembic import context

    context.configure(connection=context.config.attributes["connection"], target_metadata=models.metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
# As Alembic writes it.
READS_URL = """
    import models
    from alembic import context
    from sqlalchemy import engine_from_config, pool

    section = context.config.get_section(context.config.config_ini_section)
    with engine_from_config(section, poolclass=pool.NullPool).connect() as connection:
        context.configure(connection=connection, target_metadata=models.metadata)
        with context.begin_transaction():
            context.run_migrations()
"""
REVISIONS = {
    "0001": ("None", "CREATE TABLE users (id serial PRIMARY KEY, name text)", "DROP TABLE users"),
    "0002": ('"0001"', "INSERT INTO users (name) VALUES ('root')", "DELETE FROM users"),
}
TESTS = """
    import pytest
    from sqlalchemy import text

    @pytest.mark.parametrize("time", [1, 2])
    def test_users(postgres_engine, clean_database, time):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2
"""
THEIRS = [
    f"tests/test_history.py::test_{name}"
    for name in ("single_head_revision", "upgrade", "model_definitions_match_ddl", "up_down_consistency")
]
OURS = [f"tests/test_users.py::test_users[{time}]" for time in (1, 2)]


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project with a history of two revisions, models that agree, and a test."""
    made = lay_out(tmp_path / "shop", shared_home)
    for path in ("test_users.py", "migrations/versions/0001_users.py"):
        (made.path / path).unlink()
    assert PLACE.is_dir(), "dev.py makes it"
    for title, content in BLOCKS:
        if title in ("pytest.ini", "tests/test_history.py"):
            made.write(title, content)
    made.write("conftest.py", "")  # has the models found
    made.write("alembic.ini", "[alembic]\nscript_location = %(here)s/migrations\nprepend_sys_path = .\n")
    made.write("models.py", MODELS)
    for revision, (down, up, undo) in REVISIONS.items():
        made.write(f"migrations/versions/{revision}.py", f"""
            from alembic import op

            revision, down_revision = "{revision}", {down}

            def upgrade():
                op.execute("{up}")

            def downgrade():
                op.execute("{undo}")
        """)  # fmt: skip
    made.write("tests/test_users.py", TESTS)
    return made


@pytest.mark.parametrize(
    ("conftest", "env_py", "order"),
    [
        (AS_ENGINE, CONNECTS, ["tests/test_history.py", "tests/test_users.py"]),
        (AS_CONNECTION, CONFIGURES, ["tests/test_users.py", "tests/test_history.py"]),
        (AS_URL, READS_URL, ["tests"]),
    ],
    ids=["engine", "connection", "url"],
)
def test_its_tests_run_beside_others(
    project: Project, server: Server, database: URL, conftest: str, env_py: str, order: list[str]
) -> None:
    """Its built-in tests pass on databases of their own, before and after tests that are restored, and none is left."""
    project.write("migrations/env.py", env_py)
    project.write("tests/conftest.py", conftest)
    before = server.ask("SELECT count(*) FROM pg_database")
    done = project.run(
        "-v", "--pristine-proof=always", *order, PYTHONPATH=str(PLACE),
        TEST_DATABASE_URL=database.set(drivername="postgresql").render_as_string(hide_password=False),
    )  # fmt: skip
    assert outcomes(done) == dict.fromkeys([*THEIRS, *OURS], "PASSED"), done.output
    # Of a directory their module comes first.
    assert next(iter(outcomes(done))).startswith(order[0])
    assert "2 tests restored, 2 of them compared with the baseline" in done.output
    assert "FAILED" not in done.output
    assert int(server.ask("SELECT count(*) FROM pg_database")) <= int(before) + 2, "the template and a spare"


def test_a_fault_that_it_finds(project: Project) -> None:
    """What it finds is told as it tells it, and tests beside it pass."""
    project.write("migrations/env.py", CONNECTS)
    project.write("tests/conftest.py", AS_ENGINE)
    project.write("migrations/versions/0002.py", """
        from alembic import op

        revision, down_revision = "0002", "0001"

        def upgrade():
            op.execute("INSERT INTO users (name) VALUES ('root')")

        def downgrade():
            op.execute("DROP TABLE nowhere")
    """)  # fmt: skip
    done = project.run("-v", "tests", PYTHONPATH=str(PLACE))
    expected = dict.fromkeys([*THEIRS, *OURS], "PASSED") | {THEIRS[3]: "FAILED"}
    assert outcomes(done) == expected, done.output
    assert "Failed to downgrade through each revision individually" in done.output
