"""An env.py may ignore what it is given: the migrations must not go elsewhere, nor seem to have been done."""

from __future__ import annotations

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import StrayMigrationError
from tests.conftest import Server, new_database
from tests.migrations.conftest import OWN_ENGINE, History

CONFIGURED = """
    from alembic import context
    from sqlalchemy import engine_from_config, pool

    section = context.config.get_section(context.config.config_ini_section)
    connectable = engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)
    with connectable.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""
CREATOR = """
    import psycopg
    from alembic import context
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect({dsn!r}))
    with engine.connect() as connection:
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()
"""


def text(url: URL, **changes: object) -> str:
    """The URL for an env.py."""
    return url.set(**changes).render_as_string(hide_password=False)  # type: ignore[arg-type]


@pytest.mark.parametrize("inline", [False, True], ids=["child", "inline"])
def test_the_configured_url_is_ours(history: History, *, inline: bool) -> None:
    """An env.py that makes its engine from sqlalchemy.url, as Alembic's own template does, migrates our database."""
    history.write("migrations/env.py", CONFIGURED)
    history.migrate(inline=inline)
    assert history.revisions() == ["0001"]


@pytest.mark.parametrize("inline", [False, True], ids=["child", "inline"])
def test_an_engine_for_another_database_is_refused(history: History, server: Server, *, inline: bool) -> None:
    """An env.py that connects elsewhere is refused before it does, and the message tells the ways out."""
    with new_database(server) as elsewhere:
        history.write("migrations/env.py", OWN_ENGINE.format(url=text(elsewhere)))
        message = history.fails(StrayMigrationError, inline=inline)
        assert f"env.py connects to the postgresql database '{elsewhere.database}' instead; it was refused" in message
        assert f"migrations of the database '{history.url.database}'" in message
        assert 'config.attributes["connection"]' in message
        assert "or name the variable that env.py reads: pristine_export = NAME" in message
        assert "Alembic(environment={...})" in message
        assert history.tables(elsewhere.database) == []
    assert history.tables() == []


def test_no_connection_is_tried_before_the_refusal(history: History) -> None:
    """A server that env.py names and that does not exist is not even looked for."""
    history.write("migrations/env.py", OWN_ENGINE.format(url="postgresql+psycopg://app:geheim@no.such.host/production"))
    message = history.fails(StrayMigrationError)
    assert "'production' instead; it was refused" in message
    assert "geheim" not in message


def test_another_server_with_a_database_of_the_same_name_is_refused(history: History) -> None:
    """The same name on another server is another database."""
    url = text(history.url, host="localhost.invalid", port=1)
    history.write("migrations/env.py", OWN_ENGINE.format(url=url))
    message = history.fails(StrayMigrationError)
    assert "it was refused" in message


def test_a_url_without_a_database_is_refused(history: History, server: Server) -> None:
    """A URL that leaves the database to the driver's default is refused, and nothing is written to the default."""
    server.ask(f"CREATE DATABASE {server.url.username}")
    try:
        url = f"postgresql+psycopg://{server.url.username}:{server.url.password}@{server.url.host}:{server.url.port}"
        history.write("migrations/env.py", OWN_ENGINE.format(url=url))
        history.fails(StrayMigrationError)
        assert history.tables(server.url.username) == []
    finally:
        server.ask(f"DROP DATABASE {server.url.username} WITH (FORCE)")


def test_sqlite_is_refused(history: History) -> None:
    """An env.py that falls back to SQLite is refused, and its file is not made."""
    path = history.project.path / "dev.sqlite"
    history.write("migrations/env.py", OWN_ENGINE.format(url=f"sqlite:///{path}"))
    message = history.fails(StrayMigrationError)
    assert "env.py connects to the sqlite database" in message
    assert not path.exists()


def test_a_connection_that_nobody_can_refuse_is_detected(history: History, server: Server) -> None:
    """An env.py whose connections SQLAlchemy does not make is found out: our database has no version table."""
    with new_database(server) as elsewhere:
        history.write("migrations/env.py", CREATOR.format(dsn=text(elsewhere, drivername="postgresql")))
        message = history.fails(StrayMigrationError)
    assert "left no version table there: env.py uses another connection or did nothing" in message


@pytest.mark.parametrize("env", ["", "from alembic import context\n\nassert not context.is_offline_mode()"])
def test_an_env_py_that_does_nothing_is_detected(history: History, env: str) -> None:
    """An env.py that migrates nothing is an error, not an empty schema."""
    history.write("migrations/env.py", env)
    assert "left no version table there" in history.fails(StrayMigrationError)


def test_a_version_table_of_another_name(history: History) -> None:
    """A project may call its version table what it likes, and keep it in a schema of its own."""
    history.write("migrations/env.py", """
        from alembic import context

        connection = context.config.attributes["connection"]
        connection.exec_driver_sql("CREATE SCHEMA housekeeping")
        context.configure(connection=connection, version_table="Our Versions", version_table_schema="housekeeping")
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    """)  # fmt: skip
    history.migrate()
    assert history.ask('SELECT version_num FROM housekeeping."Our Versions"') == "0001"
