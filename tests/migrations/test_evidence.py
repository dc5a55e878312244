"""What the migration process finds out of a database that it has migrated, and what it must not do meanwhile."""

from __future__ import annotations

import pytest

from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.evidence import Evidence
from tests.migrations.conftest import History

_ENV_PY = """
    from alembic import context
    from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint, text

    metadata = MetaData()
    users = Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", Text, nullable=False),
                  {more}UniqueConstraint("name"))
    connection = context.config.attributes["connection"]
    {before}
    context.configure(connection=connection, target_metadata={metadata}, {options})
    with context.begin_transaction():
        context.run_migrations()
        {after}
"""


def env_py(history: History, **parts: str) -> None:
    """Write an env.py with further lines."""
    given = {"more": "", "before": "", "metadata": "metadata", "options": "", "after": "", **parts}
    history.write("migrations/env.py", _ENV_PY.format(**given))


def found(history: History, **options: object) -> Evidence:
    """Migrate; gives what was found."""
    result = evidence.of(history.migrate(**options))
    assert result is not None
    assert history.password not in str(result)
    return result


def test_at_head_and_as_the_models_have_it(history: History) -> None:
    """A database at head that is what the models say gives whole evidence."""
    env_py(history)
    assert found(history) == Evidence(
        ["0001"], ["0001"], has_head=True, names_models=True, config="alembic.ini", differences=[], ran=[],
        tables={"alembic_version": ["0001"]},
    )  # fmt: skip


def test_no_models(history: History) -> None:
    """An env.py without models has nothing to compare."""
    result = found(history)
    assert (result.has_head, result.names_models, result.problem) == (True, False, "")


def test_behind_head(history: History) -> None:
    """A target before the head is told, with both."""
    history.revise("0002", "0001", 'op.execute("CREATE TABLE orders ()")')
    result = found(history, target="0001")
    assert (result.current, result.heads, result.has_head) == (["0001"], ["0002"], False)


def test_models_that_differ(history: History) -> None:
    """Each difference is told, up to a number that a database can keep."""
    env_py(history, more="*[Column(f'c{n}', Text) for n in range(30)], ")
    result = found(history)
    assert (result.number, len(result.differences)) == (30, evidence.KEPT)
    assert result.differences[0] == "column users.c0: in the models, and not in the migrations"


def test_several_heads(history: History) -> None:
    """A history with several heads is at head when the database is at all of them."""
    history.revise("0002", "0001", "pass")
    history.revise("0003", "0001", "pass")
    result = found(history, target="heads")
    assert (result.current, result.heads, result.has_head) == (["0002", "0003"], ["0002", "0003"], True)
    assert history.revisions() == ["0002", "0003"]


def test_a_head_that_another_depends_on(history: History) -> None:
    """A head that another one depends on does not stand in the version table, and is applied all the same."""
    history.revise("0002", "0001", "pass")
    history.revise("0003", "0001", "pass")
    path = history.project.path / "migrations/versions/0003_change.py"
    path.write_text(path.read_text() + '\n\ndepends_on = "0002"\n')
    result = found(history, target="heads")
    assert result.has_head, result


def test_another_version_table(history: History) -> None:
    """What env.py calls the version table, and where, is where the revisions are read."""
    env_py(
        history,
        before='connection.execute(text("CREATE SCHEMA IF NOT EXISTS apart")); connection.commit()',
        options='version_table="versions", version_table_schema="apart"',
    )
    result = found(history)
    assert (result.current, result.has_head, result.problem) == (["0001"], True, "")


def test_what_env_py_does_besides_is_done_once(history: History) -> None:
    """An env.py that writes after the migrations writes once: it is run again in sessions that can only read."""
    env_py(history, after="""connection.execute(text("INSERT INTO users (name) VALUES (random()::text)"))""")
    result = found(history)
    assert (result.has_head, result.names_models, result.number, result.problem) == (True, True, 0, "")
    assert history.ask("SELECT count(*) FROM users") == "2"


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("raise SystemExit('enough')", "SystemExit: enough"),
        ("raise RuntimeError('only once')", "RuntimeError: only once"),
        ("import os; os._exit(3)", "did not come to an end"),
        ("connection.execute(text('CREATE TABLE users ()'))", "read-only transaction"),
    ],
)
def test_an_env_py_that_runs_only_once(history: History, line: str, said: str) -> None:
    """Whatever env.py does when it is run again, the migrations stay good, and the evidence says why there is none."""
    again = "again = connection.execute(text(\"SELECT to_regclass('users')\")).scalar(); connection.rollback()"
    env_py(history, before=f"{again}\n    if again: {line}")
    result = found(history)
    assert said in result.problem
    assert not result.has_head
    assert history.tables() == ["alembic_version", "users"]


def test_an_env_py_that_waits_for_itself(history: History) -> None:
    """A lock that env.py keeps does not stop the run: it is run again with a limit on waiting."""
    env_py(
        history,
        before="""
    import sys
    from sqlalchemy import create_engine
    sys.kept = [*getattr(sys, "kept", []), create_engine(connection.engine.url).connect()]
    sys.kept[-1].execute(text("SELECT pg_advisory_lock(7)"))
    """,
    )
    assert "lock timeout" in found(history).problem


def test_models_that_cannot_be_compared(history: History) -> None:
    """Models that are none are a problem of the evidence."""
    env_py(history, metadata="7")
    result = found(history)
    assert result.problem
    assert history.tables() == ["alembic_version", "users"]


def test_an_env_py_with_an_engine_of_its_own(history: History) -> None:
    """An env.py that makes its own asynchronous or synchronous engine is looked through as well."""
    history.write(
        "migrations/env.py",
        """
        from alembic import context
        from sqlalchemy import MetaData, create_engine

        with create_engine(context.config.get_main_option("sqlalchemy.url")).connect() as connection:
            context.configure(connection=connection, target_metadata=MetaData())
            with context.begin_transaction():
                context.run_migrations()
        """,
    )
    result = found(history)
    assert result.has_head
    assert "table users: in the migrations, and not in the models" in result.differences


def test_inline(history: History) -> None:
    """Migrations in the process of the tests give no evidence, and the reason."""
    assert "inline" in found(history, inline=True).problem


def test_a_mapping_that_is_copied_tells_nothing(history: History) -> None:
    """A migrator that gives any other mapping than Alembic's gives no evidence."""
    assert evidence.of(dict(history.migrate())) is None


@pytest.mark.parametrize("data", [{}, {"current": [], "unheard_of": 1}])
def test_evidence_of_another_version(data: dict[str, object]) -> None:
    """What another version of ours wrote is no evidence."""
    assert Evidence.read(data) is None


def test_long_texts_are_cut() -> None:
    """Evidence stands in the COMMENT of a database, and is cut to what that can well hold."""
    brief = Evidence(differences=["x" * 5000] * 100, number=100, problem="y" * 100_000).brief()
    assert len(str(brief.as_dict())) < 10_000
    assert Evidence.read(brief.as_dict()) == brief
