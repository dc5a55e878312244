"""The ways in which Alembic can be set up: sections, several databases, pyproject.toml, branches, arguments."""

from __future__ import annotations

import os
import sys

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import AlembicConfigError, OfflineOnlyError, RevisionFailedError, StrayMigrationError
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.steps import Steps
from pytest_pristine.verify import migrations
from tests.conftest import Server, new_database
from tests.migrations.conftest import History
from tests.migrations.test_env_py import CONFIGURED

# As Alembic's template multidb has it, in short.
_SEVERAL = """
    import re

    from alembic import context
    from sqlalchemy import engine_from_config

    for name in re.split(r",\\s*", context.config.get_main_option("databases", "")):
        with engine_from_config(context.config.get_section(name, {})).begin() as connection:
            context.configure(connection=connection)
            context.run_migrations(engine_name=name)
"""
_SEVERAL_INI = """
    [alembic]
    script_location = migrations
    databases = engine1, engine2

    [engine1]
    sqlalchemy.url = postgresql+psycopg://app:geheim@no.such.host/one

    [engine2]
    sqlalchemy.url = postgresql+psycopg://app:geheim@no.such.host/two
"""
_OFFLINE = """
    from alembic import context

    if not context.is_offline_mode():
        raise SystemExit("run alembic upgrade --sql")
    context.configure(url="postgresql://", literal_binds=True)
    with context.begin_transaction():
        context.run_migrations()
"""
_ASYNC = """
    import asyncio

    from alembic import context
    from sqlalchemy.ext.asyncio import create_async_engine

    def upgrade(connection):
        context.configure(connection=connection)
        with context.begin_transaction():
            context.run_migrations()

    async def main():
        async with create_async_engine({url}).connect() as connection:
            await connection.run_sync(upgrade)

    asyncio.run(main())
"""


def rendered(url: URL) -> str:
    """The URL with its password."""
    return url.render_as_string(hide_password=False)


def several(history: History) -> None:
    """Make it a history for two databases."""
    history.write("migrations/env.py", _SEVERAL)
    history.write("alembic.ini", _SEVERAL_INI)
    path = history.project.path / "migrations/versions/0001_users.py"
    path.write_text(path.read_text().replace("def upgrade():", "def upgrade(engine_name):\n"
                    "    op.execute(f'CREATE TABLE of_{engine_name} ()')"))  # fmt: skip


def test_one_of_several_databases(history: History, server: Server) -> None:
    """A history for several databases is applied to one of them, and to another in another database."""
    several(history)
    history.migrate(section="engine1")
    assert history.tables() == ["alembic_version", "of_engine1", "users"]
    with new_database(server) as second:
        history.alembic(section="engine2").migrate(second)
        assert history.tables(second.database) == ["alembic_version", "of_engine2", "users"]
    assert history.alembic(section="engine1").fingerprint() != history.alembic(section="engine2").fingerprint()


def test_several_databases_and_none_named(history: History) -> None:
    """A history for several databases whose URLs lead elsewhere is told that one of them can be named."""
    several(history)
    message = history.fails(StrayMigrationError)
    assert "name one of the databases engine1, engine2: pristine_migrations = alembic: alembic.ini#engine1" in message


def test_a_section_of_its_own(history: History) -> None:
    """What `alembic -n` takes is taken: a section with scripts of its own, and its URL is ours."""
    history.write("migrations/env.py", CONFIGURED)
    history.write("alembic.ini", "[alembic]\nscript_location = nowhere\n[second]\nscript_location = migrations\n")
    history.migrate(section="second")
    assert history.revisions() == ["0001"]
    assert "No section: 'third'" in history.fails(AlembicConfigError, section="third")


@pytest.mark.parametrize("ini", ["", "[alembic]\nsqlalchemy.url = driver://\n"], ids=["alone", "beside alembic.ini"])
def test_pyproject(history: History, ini: str) -> None:
    """The configuration may stand in pyproject.toml, with or without an alembic.ini beside it."""
    root = history.project.path
    (root / "alembic.ini").unlink()
    if ini:
        history.write("alembic.ini", ini)
    history.write("migrations/env.py", CONFIGURED)
    history.write(
        "pyproject.toml", '[tool.alembic]\nscript_location = "%(here)s/migrations"\nprepend_sys_path = ["."]\n'
    )
    history.write("names_of_the_shop.py", "")
    history.revise("0002", "0001", "import names_of_the_shop")
    given = history.alembic(config=root / ("alembic.ini" if ini else "pyproject.toml"))
    given.migrate(history.url)
    assert history.revisions() == ["0002"]
    before = given.fingerprint()
    history.write("pyproject.toml", '[tool.alembic]\nscript_location = "migrations"\n')
    assert given.fingerprint() != before
    history.write("pyproject.toml", '[tool.alembic]\nfile_template = "x"\n')
    assert "script_location" in history.fails(AlembicConfigError, config=given.config)


def test_branches(history: History) -> None:
    """Branches can be migrated one by one, and the heads of the branch count, not those of the others."""
    for revision, label in (("0002", "one"), ("0003", "other")):
        history.revise(revision, "0001", f"op.execute('CREATE TABLE of_{label} ()')")
        path = history.project.path / f"migrations/versions/{revision}_change.py"
        path.write_text(path.read_text() + f"\n\nbranch_labels = {label!r}\n")
    found = evidence.of(history.migrate(target="one@head"))
    assert found is not None
    assert (found.current, found.heads, found.has_head) == (["0002"], ["0002"], True)
    assert history.tables() == ["alembic_version", "of_one", "users"]
    found = evidence.of(Steps(history.alembic(target="one@head"), history.alembic(target="other@head"))
                        .migrate(history.url))  # fmt: skip
    assert found is not None
    assert (found.current, found.heads, found.has_head) == (["0002", "0003"], ["0002", "0003"], True)


def test_arguments(history: History) -> None:
    """What `alembic -x` takes reaches env.py and the revisions."""
    revision = "from alembic import context\nname = context.get_x_argument(as_dictionary=True)['tenant']\n"
    history.revise("0002", "0001", revision + "op.execute(f'CREATE TABLE {name} ()')")
    history.migrate(x=["tenant=shop"])
    assert "shop" in history.tables()
    assert history.alembic(x=["a=1"]).fingerprint() != history.alembic(x=["a=2"]).fingerprint()


def test_two_histories_in_one_database(history: History, server: Server) -> None:
    """Two histories with version tables of their own are both looked at; one that goes elsewhere is found out."""
    root = history.project.path
    history.write("second/env.py", """
        from alembic import context

        connection = context.config.attributes["connection"]
        connection.exec_driver_sql("CREATE SCHEMA IF NOT EXISTS other")
        context.configure(connection=connection, version_table="Versions", version_table_schema="other")
        with context.begin_transaction():
            context.run_migrations()
        connection.commit()
    """)  # fmt: skip
    history.write("second/versions/b1.py", "revision, down_revision = 'b1', None\n\ndef upgrade():\n    pass\n")
    history.write("second.ini", "[alembic]\nscript_location = %(here)s/second\n")
    both = Steps(history.alembic(), Alembic(root / "second.ini", root))
    read = both.migrate(history.url)
    found = evidence.of(read)
    assert found is not None
    assert (found.current, found.heads, found.has_head) == (["0001", "b1"], ["0001", "b1"], True)
    assert found.tables == {"alembic_version": ["0001"], 'other."Versions"': ["b1"]}
    assert both.current(read)
    assert migrations.now(history.url, found.as_dict()) == found.as_dict()
    server.ask("UPDATE other.\"Versions\" SET version_num = 'b0'", history.url.database)
    assert migrations.now(history.url, found.as_dict())["current"] == ["0001", "b0"]
    assert not migrations.now(history.url, found.as_dict())["has_head"]
    history.write("second/env.py", "")
    with pytest.raises(StrayMigrationError, match="left no version table there"):
        Alembic(root / "second.ini", root).migrate(history.url)
    assert not both.current(read)


def test_an_env_py_that_only_writes_sql(history: History) -> None:
    """An env.py that works for --sql alone is told as that, whether it raises or writes SQL all the same."""
    history.write("migrations/env.py", _OFFLINE)
    message = history.fails(OfflineOnlyError)
    assert "env.py works for alembic upgrade --sql, where it connects to nothing, and not without" in message
    assert "SystemExit: run alembic upgrade --sql" in message
    assert "pristine_migrations = sql: schema.sql" in message
    history.write("migrations/env.py", _OFFLINE.replace("if not context.is_offline_mode():", "if False:").replace(
        "literal_binds=True", "literal_binds=True, as_sql=True"))  # fmt: skip
    assert "it wrote SQL all the same" in history.fails(OfflineOnlyError)
    assert history.tables() == []


def test_an_env_py_that_fails_and_does_not_know_sql_either(history: History) -> None:
    """An env.py that fails with and without --sql fails for another reason."""
    history.write("migrations/env.py", "raise RuntimeError('APP_SETTINGS is not set')")
    assert "APP_SETTINGS is not set" in history.fails(RevisionFailedError)


@pytest.mark.parametrize(
    "source", ["os.environ['APP_DB']", "settings_of_the_shop.URL", "'postgresql+psycopg://app:geheim@no.such.host/dev'"]
)  # fmt: skip
@pytest.mark.parametrize("kind", ["sync", "async"])
def test_urls_from_elsewhere(history: History, monkeypatch: pytest.MonkeyPatch, source: str, kind: str) -> None:
    """A URL from a variable, the application's settings or the text itself is refused; a variable can be given."""
    elsewhere = "postgresql+psycopg://app:geheim@no.such.host/dev"
    monkeypatch.setenv("APP_DB", elsewhere)
    monkeypatch.syspath_prepend(history.project.path)
    monkeypatch.delitem(sys.modules, "settings_of_the_shop", raising=False)
    history.write("settings_of_the_shop.py", "import os\nURL = os.environ['APP_DB']\n")
    text = CONFIGURED.replace('engine_from_config(section, prefix="sqlalchemy.", poolclass=pool.NullPool)',
                              f"create_engine({source})").replace("engine_from_config,", "create_engine,")  # fmt: skip
    text = text if kind == "sync" else _ASYNC.format(url=source)
    history.write("migrations/env.py", "\n    import os\n    import settings_of_the_shop\n" + text)
    message = history.fails(StrayMigrationError)
    assert "env.py connects to the postgresql database 'dev' instead; it was refused" in message
    assert "pristine_migrations = alembic: NAME={url}" in message
    assert "geheim" not in message
    if "no.such" not in source:
        history.migrate(environment={"APP_DB": "{url}"})
        assert history.revisions() == ["0001"]
    assert os.environ["APP_DB"] == elsewhere
