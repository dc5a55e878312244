"""Running a project's Alembic history: what works, and what is said when it does not."""

from __future__ import annotations

import asyncio
import builtins
import logging
import os
import subprocess
import sys
import tempfile
from pathlib import Path

import psycopg
import pytest
from psycopg import sql
from sqlalchemy.exc import ProgrammingError

from pytest_pristine.errors import AlembicConfigError, RevisionFailedError, SeveralHeadsError, StepConfigError
from pytest_pristine.settings import exports
from tests.conftest import Server
from tests.migrations.conftest import History, one_line

AUTOCOMMIT = """
with op.get_context().autocommit_block():
    op.execute("CREATE INDEX CONCURRENTLY users_name_again ON users (name)")
    op.execute("ALTER TYPE mood ADD VALUE 'glad'")
op.execute("INSERT INTO moods VALUES ('glad')")
"""


def test_brings_an_empty_database_to_head(history: History) -> None:
    """All revisions run, in order, and the version table says so."""
    history.revise("0002", "0001", "op.execute('ALTER TABLE users ADD age int')")
    history.migrate()
    assert history.revisions() == ["0002"]
    assert history.ask("SELECT id, name, age IS NULL FROM users") == "1|root|t"


def test_migrates_to_the_revision_that_is_asked_for(history: History) -> None:
    """With a target other than head, later revisions do not run."""
    history.revise("0002", "0001", "op.execute('ALTER TABLE users ADD age int')")
    history.migrate(target="0001")
    assert history.revisions() == ["0001"]


def test_a_history_without_revisions_is_at_head(history: History) -> None:
    """A project that has no revision yet gets an empty database, and no error."""
    (history.project.path / "migrations/versions/0001_users.py").unlink()
    history.migrate()
    assert "users" not in history.tables()


def test_a_revision_that_the_server_rejects(history: History) -> None:
    """The message has the revision, its file, the server's error and the statement."""
    history.revise("0002", "0001", "op.execute('INSERT INTO nowhere VALUES (1)')", name="broken")
    message = history.fails(RevisionFailedError)
    assert "revision 0002 in migrations/versions/0002_broken.py failed" in message
    assert 'relation "nowhere" does not exist' in message
    assert "in the statement: INSERT INTO nowhere VALUES (1)" in message
    assert "pristine_migrations_process = inline" in message


def test_a_revision_that_raises(history: History) -> None:
    """An error of Python's is named with its type, beside the revision and its file."""
    history.revise("0002", "0001", "raise ValueError('no such flag')", name="broken")
    message = history.fails(RevisionFailedError)
    assert "revision 0002 in migrations/versions/0002_broken.py failed: ValueError: no such flag" in one_line(message)


def test_a_revision_that_fails_in_a_module_of_the_project(history: History) -> None:
    """The revision is named even if what raised is called from it."""
    history.write("helpers.py", "def fill():\n    raise LookupError('no rows')\n")
    history.revise("0002", "0001", "import helpers\nhelpers.fill()", name="broken")
    message = history.fails(RevisionFailedError, environment={"PYTHONPATH": str(history.project.path)})
    assert "revision 0002 in migrations/versions/0002_broken.py failed: LookupError: no rows" in one_line(message)


def test_a_revision_with_a_syntax_error(history: History) -> None:
    """A revision that is no Python is named by its file and line."""
    history.revise("0002", "0001", "op.execute(", name="broken")
    message = history.fails(RevisionFailedError)
    assert "SyntaxError" in message
    assert "0002_broken.py" in message


def test_an_env_py_that_raises(history: History) -> None:
    """A failure in env.py is no revision's: the message has the error, and the line of env.py."""
    history.write("migrations/env.py", "raise RuntimeError('APP_SETTINGS is not set')")
    message = history.fails(RevisionFailedError)
    assert "RuntimeError: APP_SETTINGS is not set" in message
    assert "migrations/env.py, line 1: RuntimeError" in message
    assert "revision 0001" not in message


@pytest.mark.parametrize("asks", ["os.environ['APP_URL']", "settings.url()"])
def test_an_env_py_that_asks_for_a_variable_that_is_not_set(history: History, asks: str) -> None:
    """The line of the project is told, and not that of Python's own os; and how the variable can be had."""
    history.write("migrations/settings.py", "import os\n\ndef url():\n    return os.environ['APP_URL']\n")
    history.write("migrations/env.py", f"import os\nfrom migrations import settings\n{asks}\n")
    message = one_line(history.fails(RevisionFailedError))
    where = "migrations/env.py, line 3" if asks.startswith("os") else "migrations/settings.py, line 4"
    assert f"found: {where}: KeyError: 'APP_URL' to do: give it the variable" in message
    assert "pristine_migrations = alembic: APP_URL={url}" in message
    assert "pristine_export = APP_URL" in message
    assert "mend the migration" not in message


def test_a_key_that_is_missing_elsewhere(history: History) -> None:
    """A dictionary of the project's is no environment."""
    history.write("migrations/env.py", "{}['APP_URL']")
    message = history.fails(RevisionFailedError)
    assert "migrations/env.py, line 1: KeyError: 'APP_URL'" in message
    assert "mend the migration" in message


def test_an_env_py_that_has_no_url(history: History) -> None:
    """What SQLAlchemy cannot read is no fault of a migration: how env.py gets the URL is told, and its line."""
    history.write("migrations/env.py", "import sqlalchemy\n\nsqlalchemy.create_engine('')\n")
    message = history.fails(RevisionFailedError)
    assert "found:   migrations/env.py, line 3: ArgumentError: Could not parse SQLAlchemy URL" in message
    assert "pristine_migrations = alembic: NAME={url}" in message
    assert "mend the migration" not in message


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("zzz", "Can't locate revision identified by 'zzz'"),
        ("base", "it is where a database begins, before any revision"),
    ],
)
def test_a_target_that_is_not_there(history: History, target: str, said: str) -> None:
    """It is the setting that is to be corrected, and no migration."""
    message = history.fails(StepConfigError, target=target)
    assert f"sought:  the revision {target!r} in the history of " in message
    assert f"found:   {said}; the history has the head 0001\n" in message
    assert "to do:   name one that there is, or heads: pristine_alembic_target" in message


@pytest.mark.parametrize("target", ["+1", "00"])
def test_other_ways_to_name_a_target(history: History, target: str) -> None:
    """What Alembic takes is taken: steps from where the database is, and the beginning of a revision's name."""
    history.migrate(target=target)
    assert history.revisions() == ["0001"]


def test_an_env_py_that_imports_what_is_not_there(history: History) -> None:
    """A module that env.py cannot import is named."""
    history.write("migrations/env.py", "import app.models")
    assert "ModuleNotFoundError: No module named 'app'" in history.fails(RevisionFailedError)


def test_a_driver_that_is_not_installed(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without the driver that the URL names the migrations are not to blame: what to install is told."""
    history.write("without/pg8000.py", "raise ModuleNotFoundError(\"No module named 'pg8000'\")\n")
    monkeypatch.syspath_prepend(history.project.path / "without")
    message = history.fails(RevisionFailedError, driver="pg8000")
    assert "ModuleNotFoundError: No module named 'pg8000'" in message
    assert "pip install pg8000, which the URL names" in one_line(message)
    assert "mend the migration" not in message


def test_several_heads(history: History) -> None:
    """Several heads are named, with both ways out: merging them, and migrating to all."""
    history.revise("0002", "0001", "pass", name="one")
    history.revise("0003", "0001", "pass", name="other")
    message = history.fails(SeveralHeadsError)
    assert "2 heads" in message
    assert "0002" in message
    assert "0003" in message
    assert "alembic merge heads" in message
    assert "pristine_alembic_target = heads" in message


def test_all_heads_when_asked_for(history: History) -> None:
    """With the target `heads` every branch is applied."""
    history.revise("0002", "0001", "op.execute('CREATE TABLE one ()')", name="one")
    history.revise("0003", "0001", "op.execute('CREATE TABLE other ()')", name="other")
    history.migrate(target="heads")
    assert history.revisions() == ["0002", "0003"]
    assert {"one", "other"} <= set(history.tables())


def test_autocommit_blocks(history: History) -> None:
    """CREATE INDEX CONCURRENTLY and ALTER TYPE ... ADD VALUE work in autocommit blocks."""
    history.write("migrations/env.py", """
        from alembic import context

        connection = context.config.attributes["connection"]
        context.configure(connection=connection, transaction_per_migration=True)
        with context.begin_transaction():
            context.run_migrations()
    """)  # fmt: skip
    history.revise("0002", "0001", "op.execute(\"CREATE TYPE mood AS ENUM ('sad')\")\n"
                                   "op.execute('CREATE TABLE moods (mood mood)')")  # fmt: skip
    history.revise("0003", "0002", AUTOCOMMIT.strip())
    history.migrate()
    assert history.revisions() == ["0003"]
    assert history.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'users_name_again'::regclass") == "t"
    assert history.ask("SELECT mood FROM moods") == "glad"


@pytest.mark.parametrize(
    ("ini", "location", "inline"),
    [
        ("alembic.ini", "migrations", False),
        ("config/alembic.ini", "%(here)s/../migrations", False),
        ("config/alembic.ini", "migrations", False),
        ("migrations/alembic.ini", ".", False),
        ("alembic.ini", "migrations", True),
        ("alembic.ini", "%(here)s/migrations", True),
    ],
)
def test_script_locations(history: History, ini: str, location: str, *, inline: bool) -> None:
    """A script location is relative to the configuration's directory or to the root, or starts with %(here)s."""
    (history.project.path / "alembic.ini").unlink()
    history.write(ini, f"[alembic]\nscript_location = {location}\n")
    history.migrate(config=history.project.path / ini, inline=inline)
    assert history.revisions() == ["0001"]


def test_a_script_location_in_a_package(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """A location `package:directory` is found where the package is importable."""
    root = history.project.path
    (root / "src/shop_of_tests").mkdir(parents=True)
    (root / "migrations").rename(root / "src/shop_of_tests/migrations")
    history.write("src/shop_of_tests/__init__.py", "")
    history.write("alembic.ini", "[alembic]\nscript_location = shop_of_tests:migrations\n")
    monkeypatch.syspath_prepend(root / "src")
    before = history.alembic().fingerprint()
    history.migrate()
    assert history.revisions() == ["0001"]
    (root / "src/shop_of_tests/migrations/versions/0001_users.py").touch()
    history.write("src/shop_of_tests/migrations/versions/0002_more.py", "revision, down_revision = '0002', '0001'\n")
    assert history.alembic().fingerprint() != before


@pytest.mark.parametrize(
    ("ini", "said"),
    [
        ("[alembic]\nscript_location = elsewhere\n", "no such directory"),
        ("[alembic]\n", "script_location"),
        ("[other]\nscript_location = migrations\n", "No section: 'alembic'"),
        ("script_location = migrations\n", "no section headers"),
        ("[alembic]\nscript_location = %(nowhere)s/migrations\n", "nowhere"),
        ("[alembic]\nscript_location = no_such_package:migrations\n", "no such directory"),
    ],
)
def test_a_configuration_that_leads_nowhere(history: History, ini: str, said: str) -> None:
    """A configuration without a usable script_location is an error that names the file and the key."""
    history.write("alembic.ini", ini)
    message = history.fails(AlembicConfigError)
    assert "script_location" in message
    assert str(history.project.path / "alembic.ini") in message
    assert said in message


def test_works_inside_a_running_event_loop(history: History) -> None:
    """The first use of a database may be in a coroutine: no loop of env.py meets the one that runs."""
    history.write("migrations/env.py", """
        import asyncio

        from alembic import context

        async def main():
            context.configure(connection=context.config.attributes["connection"])
            with context.begin_transaction():
                context.run_migrations()

        asyncio.run(main())
    """)  # fmt: skip

    async def first_use() -> None:
        history.migrate()

    asyncio.run(first_use())
    assert history.revisions() == ["0001"]


def test_file_config_in_env_py_reaches_no_logger_of_the_tests(
    history: History, caplog: pytest.LogCaptureFixture
) -> None:
    """A fileConfig that silences every logger there is silences those of the migration process alone."""
    logger = logging.getLogger("an application's")
    history.write("alembic.ini", """
        [alembic]
        script_location = migrations
        [loggers]
        keys = root
        [handlers]
        keys =
        [formatters]
        keys =
        [logger_root]
        level = CRITICAL
        handlers =
    """)  # fmt: skip
    history.write("migrations/env.py", """
        from logging.config import fileConfig

        from alembic import context

        fileConfig(context.config.config_file_name)
        context.configure(connection=context.config.attributes["connection"])
        with context.begin_transaction():
            context.run_migrations()
    """)  # fmt: skip
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    history.migrate()
    assert not logger.disabled
    assert (list(root.handlers), root.level) == (handlers, level)
    logger.warning("heard")
    assert "heard" in caplog.text


def test_the_import_path_of_the_tests_reaches_the_migrations(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """What the tests can import, by whatever way, env.py can."""
    history.write("lib/names_for_tests.py", "NAME = 'from the library'")
    history.revise("0002", "0001", "import names_for_tests\n"
                   "op.execute(f\"INSERT INTO users (name) VALUES ('{names_for_tests.NAME}')\")")  # fmt: skip
    monkeypatch.syspath_prepend(history.project.path / "lib")
    history.migrate()
    assert "from the library" in history.ask("SELECT name FROM users")


@pytest.mark.parametrize("password", ["p%40:w@ d/%'x\"", "päss wörd & ?#=+"])
def test_passwords_of_any_characters(history: History, server: Server, password: str) -> None:
    """A password may hold any character: migrations connect with it, and no output shows it in any spelling."""
    role = "role_with_odd_password"
    with server.connect() as connection:
        create = "CREATE ROLE {} LOGIN SUPERUSER PASSWORD {}"
        connection.execute(sql.SQL(create).format(sql.Identifier(role), sql.Literal(password)))
    try:
        history.url = history.url.set(username=role, password=password)
        history.write("migrations/env.py", """
            from alembic import context
            from sqlalchemy import engine_from_config

            section = context.config.get_section(context.config.config_ini_section)
            with engine_from_config(section).connect() as connection:
                context.configure(connection=connection)
                with context.begin_transaction():
                    context.run_migrations()
        """)  # fmt: skip
        history.migrate()
        assert history.revisions() == ["0001"]
        history.revise("0002", "0001", """
from alembic import context
from sqlalchemy import make_url
url = context.config.get_main_option("sqlalchemy.url")
print("connecting to", url)
print("arguments", make_url(url).translate_connect_args())
print("password=" + make_url(url).password)
raise RuntimeError("cannot work with " + url)
        """.strip())  # fmt: skip
        message = history.fails(RevisionFailedError)
        rendered = history.url.render_as_string(hide_password=False)
        assert rendered.split(":", 2)[2].rpartition("@")[0] not in message
        assert password not in message
        assert "connecting to postgresql+psycopg://role_with_odd_password:***@" in message
    finally:
        with server.connect() as connection:
            connection.execute(sql.SQL("DROP OWNED BY {0}").format(sql.Identifier(role)))
            for table in history.tables():
                statement = "DROP TABLE {} CASCADE"
                with psycopg.connect(server.url.set(drivername="postgresql", database=history.url.database)
                                     .render_as_string(hide_password=False), autocommit=True) as client:  # fmt: skip
                    client.execute(sql.SQL(statement).format(sql.Identifier(table)))
            connection.execute(sql.SQL("DROP ROLE {}").format(sql.Identifier(role)))


def test_variables_for_an_application_that_has_its_own_settings(history: History) -> None:
    """Variables given to Alembic reach env.py, with the URL where they ask for it, and not our own environment."""
    history.write("migrations/env.py", """
        import os

        from alembic import context
        from sqlalchemy import create_engine

        assert os.environ["APP_MODE"] == "testing"
        with create_engine(os.environ["APP_DATABASE"]).connect() as connection:
            context.configure(connection=connection)
            with context.begin_transaction():
                context.run_migrations()
    """)  # fmt: skip
    history.migrate(environment={"APP_DATABASE": "{url}", "APP_MODE": "testing"})
    assert history.revisions() == ["0001"]
    assert "APP_DATABASE" not in os.environ


@pytest.mark.parametrize("inline", [False, True], ids=["child", "inline"])
def test_variables_that_a_project_exports(history: History, monkeypatch: pytest.MonkeyPatch, *, inline: bool) -> None:
    """Exported variables name the database that is migrated, and those that would lead elsewhere are taken out."""
    monkeypatch.setenv("APP_DATABASE", "production")
    monkeypatch.setenv("PGPORT", "1")
    history.revise("0002", "0001", "import os\n"
                   "named = op.get_bind().engine.url.database\n"
                   "assert named == os.environ['APP_DATABASE'] == os.environ['PGDATABASE']\n"
                   "assert os.environ['PGPORT'] != '1' and 'PGSERVICE' not in os.environ")  # fmt: skip
    history.migrate(inline=inline, exports=exports.parse("APP_DATABASE = database, PG*"))
    assert history.revisions() == ["0002"]
    assert (os.environ["APP_DATABASE"], os.environ["PGPORT"]) == ("production", "1")


def test_inline_migrations_run_in_this_process(history: History, monkeypatch: pytest.MonkeyPatch) -> None:
    """Inline, revisions see this process, and the variables they are given until they are done."""
    monkeypatch.setenv("APP_KEPT", "before")
    history.revise("0002", "0001", "import os\nimport builtins\n"
                   "builtins.seen_by_a_test = os.getpid(), os.environ['APP_KEPT'], os.environ['APP_NEW']")  # fmt: skip
    history.migrate(inline=True, environment={"APP_KEPT": "during", "APP_NEW": "{url}"})
    url = history.url.render_as_string(hide_password=False)
    assert builtins.__dict__.pop("seen_by_a_test") == (os.getpid(), "during", url)
    assert os.environ["APP_KEPT"] == "before"
    assert "APP_NEW" not in os.environ
    assert history.revisions() == ["0002"]


def test_inline_migrations_that_fail_show_their_own_error(history: History) -> None:
    """Inline, what a revision raises passes through with its traceback, and the environment is as before."""
    history.revise("0002", "0001", "op.execute('SELECT nothing')")
    with pytest.raises(ProgrammingError, match='column "nothing" does not exist') as caught:
        history.migrate(inline=True, environment={"APP_NEW": "1"})
    assert any("0002_change.py" in str(entry.path) for entry in caught.traceback)
    assert "APP_NEW" not in os.environ


def test_inline_migrations_that_change_the_environment_themselves(history: History) -> None:
    """Inline, a revision that removes a variable it was given is no error."""
    history.revise("0002", "0001", "import os\ndel os.environ['APP_NEW']")
    history.migrate(inline=True, environment={"APP_NEW": "1"})
    assert history.revisions() == ["0002"]
    assert "APP_NEW" not in os.environ


def test_inline_several_heads(history: History) -> None:
    """Inline, several heads are explained as in a child process."""
    history.revise("0002", "0001", "pass", name="one")
    history.revise("0003", "0001", "pass", name="other")
    assert "2 heads" in history.fails(SeveralHeadsError, inline=True)


def test_a_migration_that_prints_a_lot(history: History) -> None:
    """Megabytes of output neither block the migration nor fill the message: the last lines of it are quoted."""
    talk = "import sys\nfor number in range(20_000):\n    print(f'line {number}' + ' ' * 50, file=sys.stderr)\n"
    history.revise("0002", "0001", talk + "op.execute('CREATE TABLE reached ()')")
    history.migrate()
    assert "reached" in history.tables()
    history.revise("0003", "0002", talk.replace("line", "again") + "raise ValueError('enough')")
    message = history.fails(RevisionFailedError)
    assert "ValueError: enough" in message
    assert "again 100 " not in message
    assert len(message.splitlines()) < 40


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("os._exit(3)", "3"),
        ("sys.exit('nothing to do')", "nothing to do"),
        ("os.kill(os.getpid(), signal.SIGKILL)", "-9"),
    ],
)
def test_a_migration_that_ends_its_process(history: History, line: str, said: str) -> None:
    """A migration that ends the process is a failure that tells the status and quotes the output."""
    history.revise("0002", "0001", f"import os, signal, sys\nprint('last words', flush=True)\n{line}")
    message = history.fails(RevisionFailedError)
    assert "last words" in message
    assert said in message
    assert "no revision ran" not in message, "a revision did run"


def test_a_project_directory_named_like_a_package_of_ours(history: History) -> None:
    """A script directory that is called alembic and is a package does not hide Alembic itself."""
    root = history.project.path
    (root / "migrations").rename(root / "alembic")
    history.write("alembic/__init__.py", "")
    history.write("alembic.ini", "[alembic]\nscript_location = %(here)s/alembic\n")
    history.migrate()
    assert history.revisions() == ["0001"]


def test_a_module_in_the_root_named_like_one_of_pythons(history: History) -> None:
    """A module in the project's root that is called like one of the standard library does not hide it."""
    history.write("logging.py", "raise AssertionError('the wrong module')")
    history.write("queue.py", "raise AssertionError('the wrong module')")
    history.migrate()
    assert history.revisions() == ["0001"]


def test_prepend_sys_path_is_honoured(history: History) -> None:
    """`prepend_sys_path` in alembic.ini works as in Alembic's own command."""
    history.write("alembic.ini", "[alembic]\nscript_location = migrations\nprepend_sys_path = .\n")
    history.write("settings_of_the_shop.py", "NAME = 'shop'")
    history.revise("0002", "0001", "import settings_of_the_shop")
    history.migrate()
    assert history.revisions() == ["0002"]


def test_the_request_is_no_part_of_the_command_line(history: History) -> None:
    """The password cannot be read in the process list or in the environment while migrations run."""
    history.revise("0002", "0001", "from pathlib import Path\n"
                   "seen = Path('/proc/self/cmdline').read_bytes() + Path('/proc/self/environ').read_bytes()\n"
                   "assert op.get_bind().engine.url.password.encode() not in seen")  # fmt: skip
    if not Path("/proc/self/cmdline").exists():
        pytest.skip("this system shows no command lines in /proc")
    history.migrate()
    assert history.revisions() == ["0002"]


def test_migrations_that_take_too_long(history: History) -> None:
    """Migrations that have a limit are ended when it is over, and the error says so."""
    history.revise("0002", "0001", "import threading\nthreading.Event().wait()")
    with pytest.raises(RevisionFailedError) as caught:
        history.migrate(limit=3)
    assert "the migration process was not done within 3 s and was ended" in caught.value.found


def test_a_role_that_is_there_already(history: History) -> None:
    """A migration that creates a role which another database left is told what roles are, and what to do."""
    history.revise("0002", "0001", "op.execute('CREATE ROLE tester')")
    with pytest.raises(RevisionFailedError) as caught:
        history.migrate()
    assert 'role "tester" already exists' in caught.value.found
    assert caught.value.remedy[0].startswith("roles belong to the whole server and outlive its databases: ")


def test_what_a_killed_run_left(history: History, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A directory of a run that was killed in the middle of its migrations is removed, and no other."""
    with subprocess.Popen([sys.executable, "-c", ""]) as ended:
        ended.wait()
    names = (f"pristine-{ended.pid}-x", f"pristine-{os.getpid()}-x", "pristine-else")
    for name in names:
        (tmp_path / "temporary" / name).mkdir(parents=True)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "temporary"))
    history.migrate()
    assert sorted(path.name for path in (tmp_path / "temporary").iterdir()) == sorted(names[1:])
