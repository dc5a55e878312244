"""Ready tests of migrations: each passes on a sound history, and says what is wrong with another."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path
from textwrap import dedent

import pytest
from sqlalchemy.engine import URL

from tests.conftest import Project, Run, Server, new_role

NAMES = [
    "test_delta_equals_scratch", "test_models_match_schema", "test_no_released_revision_was_edited", "test_single_head",
    "test_up_down_up", "test_upgrade_from_base",
]  # fmt: skip

ENV_PY = """
    from alembic import context
    from sqlalchemy import Column, Integer, MetaData, Table, Text

    metadata = MetaData()
    Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", Text), Column("age", Integer))
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
FIRST = ("CREATE TABLE users (id serial PRIMARY KEY, name text)", "DROP TABLE users")
SECOND = ("ALTER TABLE users ADD age integer", "ALTER TABLE users DROP age")
IRREVERSIBLE = "raise NotImplementedError"


def revise(project: Project, revision: str, down: object, up: str, undo: str) -> None:
    """Write a revision; what undoes it is SQL, or a line of Python that raises."""
    body = undo if undo.startswith("raise ") else f"op.execute({undo!r})"
    project.write(
        f"migrations/versions/{revision}.py",
        f"from alembic import op\n\nrevision, down_revision = {revision!r}, {down!r}\n\n\n"
        f"def upgrade():\n    op.execute({up!r})\n\n\ndef downgrade():\n    {body}\n",
    )


@pytest.fixture
def checked(project: Project) -> Project:
    """A project with a sound history of two revisions, and the checks as a user has them."""
    for path in (project.path / "migrations" / "versions").iterdir():
        path.unlink()
    project.write("migrations/env.py", ENV_PY)
    revise(project, "0001", None, *FIRST)
    revise(project, "0002", "0001", *SECOND)
    project.write("test_users.py", "from pytest_pristine.migration_checks import *\n")
    return project


def release(project: Project, *arguments: str) -> Run:
    """Run `pristine release`."""
    command = [Path(sys.executable).with_name("pristine"), "release", *arguments]
    done = subprocess.run(
        command, cwd=project.path, env=dict(project.environ), capture_output=True, text=True, check=False
    )
    return Run(done.returncode, done.stdout + done.stderr)


def failed(project: Project, *options: str, **environ: str) -> dict[str, str]:
    """Run the checks; gives the message of each that failed, all white space made one space."""
    if not options:
        release(project)
    run = project.run("-v", *options, **environ)
    assert run.status in (0, 1), run.output
    # Each failure has a heading of its own between lines of underscores.
    parts = re.split(r"^_+ (?:ERROR at setup of )?(\w+) _+$", run.output.partition("\n====")[2], flags=re.MULTILINE)
    return {name: " ".join(text.split()) for name, text in zip(parts[1::2], parts[2::2], strict=True)}


def test_a_sound_history_passes(checked: Project) -> None:
    """On a sound history all six pass, once its revisions were noted as released."""
    assert release(checked).output == "released: 0001\nreleased: 0002\n"
    run = checked.run("-v")
    assert run.status == 0, run.output
    assert all(f"::{name} PASSED" in run.output for name in NAMES), run.output


def test_two_heads(checked: Project) -> None:
    """Two revisions that follow one are told with their files, and how to merge them."""
    revise(checked, "0003", "0001", "CREATE TABLE orders ()", "DROP TABLE orders")
    found = failed(checked)
    assert "found: 2: 0002 (" in found["test_single_head"]
    assert "to do: alembic merge heads" in found["test_single_head"]


def test_a_revision_that_fails_on_an_empty_database(checked: Project) -> None:
    """A revision that needs what is only in production is named by the test that begins with nothing."""
    revise(checked, "0003", "0002", "ALTER TABLE legacy ADD id integer", "SELECT")
    found = failed(checked)
    assert "revision 0003 in migrations/versions/0003.py failed" in found["test_upgrade_from_base"]
    assert '0003 in migrations/versions/0003.py: it cannot be applied: relation "legacy"' in found["test_up_down_up"]
    assert "to do: mend upgrade()" in found["test_up_down_up"]
    assert "mend downgrade()" not in found["test_up_down_up"]


def test_models_that_differ(checked: Project) -> None:
    """A column that only the migrations have is named."""
    revise(checked, "0003", "0002", "ALTER TABLE users ADD email text", "ALTER TABLE users DROP email")
    found = failed(checked)
    assert list(found) == ["test_models_match_schema"]
    assert "column users.email: in the migrations, and not in the models" in found["test_models_match_schema"]


def test_no_models(checked: Project) -> None:
    """An env.py without models cannot be compared, which is no agreement."""
    checked.write("migrations/env.py", ENV_PY.replace(", target_metadata=metadata", ""))
    assert "found: env.py names no models" in failed(checked)["test_models_match_schema"]


@pytest.mark.parametrize(
    ("up", "undo", "said"),
    [
        ("CREATE TABLE orders ()", "SELECT", "undone, TABLE public.orders is there, and was not"),
        (
            "CREATE TABLE IF NOT EXISTS orders (id int)", "ALTER TABLE orders RENAME TO orders_old",
            "undone, TABLE public.orders_old is there, and was not",
        ),
        ("CREATE TABLE orders ()", "DROP TABLE users CASCADE", "undone, TABLE public.users is gone"),
        ("ALTER TABLE users ALTER name SET NOT NULL", "SELECT", "undone, TABLE public.users is another: - name text;"),
        ("CREATE TABLE orders ()", "DROP TABLE nowhere", 'it cannot be undone: table "nowhere" does not exist'),
        ("CREATE SEQUENCE numbers", "SELECT", "undone, it cannot be applied again: relation"),
        ("INSERT INTO users (name) VALUES ('root')", "SELECT", "applied again, public.users has 2 rows instead of 1"),
    ],
    ids=["left", "renamed", "too_much", "not_null", "raises", "not_again", "rows"],
)  # fmt: skip
def test_a_revision_that_is_not_undone(checked: Project, up: str, undo: str, said: str) -> None:
    """What a downgrade leaves, takes too much or cannot do is told with revision and file."""
    revise(checked, "0003", "0002", up, undo)
    assert f"0003 in migrations/versions/0003.py: {said}" in failed(checked)["test_up_down_up"]


def test_a_column_that_comes_last_when_it_is_added_again(checked: Project) -> None:
    """That a dropped column comes last when it is added again is no fault: nothing else can be done."""
    revise(checked, "0003", "0002", "ALTER TABLE users DROP name", "ALTER TABLE users ADD name text")
    assert "test_up_down_up" not in failed(checked)


def test_irreversible_revisions(checked: Project) -> None:
    """A downgrade that raises NotImplementedError says that there is none, and so does the setting."""
    revise(checked, "0003", "0002", "CREATE TABLE orders ()", IRREVERSIBLE)
    revise(checked, "0004", "0003", "CREATE TABLE items ()", "SELECT")
    checked.write("pytest.ini", "[pytest]\npristine_irreversible = 0004\n")
    assert "test_up_down_up" not in failed(checked)


def test_an_irreversible_revision_that_there_is_not(checked: Project) -> None:
    """A name in the setting that no revision has is told: it may be a slip."""
    checked.write("pytest.ini", "[pytest]\npristine_irreversible = 0009\n")
    assert "found: no revision 0009" in failed(checked)["test_up_down_up"]


def test_branches_and_a_merge(checked: Project) -> None:
    """Each revision of branches is undone by itself, and the other branch stays."""
    revise(checked, "0003", "0001", "CREATE TABLE orders ()", "DROP TABLE orders")
    revise(checked, "0004", ("0002", "0003"), "CREATE TABLE items ()", "DROP TABLE items")
    assert set(failed(checked)) == {"test_models_match_schema"}


def test_a_revision_that_is_another_on_a_template(checked: Project) -> None:
    """A revision that depends on the database's name gives another schema on top of a template."""
    up = (
        "DO $$ BEGIN EXECUTE format('CREATE TABLE %I ()', 'of_' || "
        "(SELECT count(*) FROM pg_database WHERE datname LIKE 'pristine_scratch_%')); END $$"
    )
    revise(checked, "0003", "0002", up, IRREVERSIBLE)
    assert "TABLE public.of_" in failed(checked)["test_delta_equals_scratch"]


def test_a_released_revision_that_is_edited(checked: Project) -> None:
    """A released revision that was edited, or removed, is named, and `pristine release` does not note it anew."""
    assert json.loads(release(checked, "--json").output) == {"released": ["0001", "0002"]}
    path = checked.path / "migrations/versions/0002.py"
    text = path.read_text()
    path.write_bytes(text.replace("\n", "\r\n").encode())
    assert failed(checked, "-k", "released") == {}
    path.write_text(text.replace("age", "years"))
    assert "found: 0002 (0002.py) was edited" in failed(checked, "-k", "released")[NAMES[2]]
    again = release(checked)
    assert again.status == 1
    assert "0002 (0002.py) was edited" in again.output
    path.unlink()
    assert "found: 0002 (0002.py) is gone" in failed(checked, "-k", "released")[NAMES[2]]


def test_revisions_that_come_after_a_release(checked: Project) -> None:
    """What is new may be edited until it is released, too."""
    release(checked)
    revise(checked, "0003", "0002", "CREATE TABLE orders ()", "DROP TABLE orders")
    assert failed(checked, "-k", "released") == {}
    assert release(checked).output == "released: 0003\n"
    assert release(checked).output == "nothing new to note\n"


def test_a_note_that_cannot_be_written(checked: Project) -> None:
    """It is told, as what `pristine init` cannot write is."""
    (checked.path / "migrations/released.txt").symlink_to(checked.path / "nowhere/released.txt")
    run = release(checked)
    assert run.status == 1
    assert "sought:  to write " in run.output
    assert "found:   No such file or directory\nto do:   have " in run.output
    assert "Traceback" not in run.output


def test_a_release_where_alembic_makes_no_schema(checked: Project) -> None:
    """There is nothing to note, and no fixture to be overridden."""
    checked.write("pytest.ini", "[pytest]\npristine_migrations = sql: schema.sql\n")
    run = release(checked)
    assert run.status == 1
    assert "found:   none\nto do:   name one: pristine release --alembic-config PATH" in run.output


def test_no_note_of_released_revisions(checked: Project) -> None:
    """Without a note nothing is known to be unedited, and how to make one is told."""
    assert "to do: pristine release, and commit the file" in failed(checked, "-k", "released")[NAMES[2]]


def test_a_note_that_cannot_be_read(checked: Project) -> None:
    """A line that is none of ours is shown with its number."""
    checked.write("migrations/released.txt", "# a heading\nsomething\n")
    assert "found: line 2: something" in failed(checked, "-k", "released")[NAMES[2]]


def test_a_history_that_cannot_be_read(checked: Project) -> None:
    """A revision with an error of syntax is told with its file."""
    checked.write("migrations/versions/0003.py", "revision = ")
    assert "SyntaxError" in failed(checked)["test_single_head"]


def test_nothing_is_left(checked: Project, server: Server, database: URL) -> None:
    """The databases of the checks are gone when the run is over, and no database of others was touched."""
    query = (
        "SELECT string_agg(datname, ',' ORDER BY oid) FROM pg_database WHERE datname !~ '^pristine_.*_[0-9a-f]{12}$'"
    )
    before = server.ask(query)
    url = database.set(drivername="postgresql").render_as_string(hide_password=False)
    assert failed(checked, TEST_DATABASE_URL=url) == {}
    assert server.ask(query) == before


def test_a_role_that_may_make_no_database(checked: Project, server: Server, database: URL) -> None:
    """A role that can make no empty database is told what it lacks."""
    with new_role(server, "") as role:
        server.ask(f'ALTER DATABASE {database.database} OWNER TO "{role.username}"')
        url = role.set(drivername="postgresql", database=database.database)
        found = failed(checked, TEST_DATABASE_URL=url.render_as_string(hide_password=False))
        server.ask(f"ALTER DATABASE {database.database} OWNER TO CURRENT_USER")
    assert f"the role '{role.username}' may make none" in found["test_upgrade_from_base"]
    assert f'to do: ALTER ROLE "{role.username}" CREATEDB' in found["test_up_down_up"]


BEFORE = """
    [pytest]
    pristine_migrations =
        sql: before
        command: python -c "import psycopg; psycopg.connect('', autocommit=True).execute('CREATE TABLE legacy ()')"
        alembic
        sql: after
"""


def test_steps_before_the_history(checked: Project) -> None:
    """What stands before the history in the settings is there when its revisions run; what stands after it is not."""
    checked.write("pytest.ini", BEFORE)
    checked.write("before/1.sql", "CREATE TYPE state AS ENUM ('open')")
    checked.write("after/1.sql", "CREATE TABLE users ()")
    revise(checked, "0003", "0002", "ALTER TABLE legacy ADD state state", "ALTER TABLE legacy DROP state")
    found = failed(checked)
    # The models know nothing of it.
    assert list(found) == ["test_models_match_schema"], found
    assert "table legacy: in the migrations, and not in the models" in found["test_models_match_schema"]
    checked.write("before/1.sql", "CREATE TYPE state AS ENUM ('open'")
    assert "before/1.sql" in failed(checked, "-k", "up_down")["test_up_down_up"]


@pytest.mark.parametrize("target", ["0001", "head"])
def test_steps_that_apply_revisions(checked: Project, target: str) -> None:
    """Revisions that a step before has applied are not gone through, and where none is left that is told."""
    line = f"command: alembic -x url={{url:postgresql+psycopg}} upgrade {target}"
    checked.write("pytest.ini", f"[pytest]\npristine_migrations =\n    {line}\n    alembic\n")
    given = 'create_engine(context.get_x_argument(as_dictionary=True)["url"]).connect()'
    checked.write(
        "migrations/env.py",
        "from sqlalchemy import create_engine\n"
        + dedent(ENV_PY).replace('attributes["connection"]', f'attributes.get("connection") or {given}'),
    )
    revise(checked, "0001", None, FIRST[0], "SELECT")
    found = failed(checked, "-k", "up_down or delta or base")
    if target == "0001":
        assert found == {}
        return
    assert set(found) == {"test_up_down_up", "test_delta_equals_scratch"}
    for said in found.values():
        assert "found: none is left: the database is at head by then, made by command: alembic -x" in said
        assert "to do: leave this check out: import the others by name" in said


def test_a_history_with_what_is_run_before_it(checked: Project) -> None:
    """A project may give the steps itself; the last history among them is the one that is checked."""
    checked.write("pytest.ini", "[pytest]\npristine_migrations = sql: elsewhere\n")
    checked.write("before/1.sql", "CREATE TABLE legacy ()")
    revise(checked, "0003", "0002", "ALTER TABLE legacy ADD id int", "ALTER TABLE legacy DROP id")
    found = failed(checked, "-k", "up_down")
    assert "found: none" in found["test_up_down_up"]
    assert "to do: have the fixture checked_migrations give it: Alembic(…), or Steps(…, Alembic(…))" in str(found)
    with (checked.path / "test_users.py").open("a", encoding="utf-8") as file:
        file.write(dedent("""
            import pytest
            from pytest_pristine import Alembic, SqlFiles, Steps

            @pytest.fixture(scope="session")
            def checked_migrations():
                return Steps(SqlFiles("before"), Alembic("alembic.ini"))
        """))  # fmt: skip
    assert failed(checked, "-k", "up_down or delta or base") == {}
