"""Templates are built once, sealed, found again, and never left half-made."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from pathlib import Path

import psycopg
import pytest
from sqlalchemy.engine import URL

from tests.templates.conftest import Schema, Templates, entered, until

DDL = "CREATE TABLE users (id serial PRIMARY KEY, name text); INSERT INTO users (name) VALUES ('root')"
HOLD = "sys.stdin.readline()"


def test_a_workspace_is_migrated_and_goes_with_its_run(templates: Templates) -> None:
    """A run gets a database at head, which is dropped when it ends, while the template stays."""
    with templates.lease(Schema(DDL)) as workspace:
        name = str(workspace.url.database)
        assert templates.server.ask("SELECT id, name FROM users", name) == "1|root"
        assert templates.names("clone") == [name]
    assert templates.names("clone") == []
    assert templates.all() == [workspace.template]


def test_a_template_is_sealed(templates: Templates) -> None:
    """Nobody can connect to a template, and Postgres knows it as one."""
    with templates.lease(Schema(DDL)) as workspace:
        pass
    query = f"SELECT datallowconn, datistemplate FROM pg_database WHERE datname = '{workspace.template}'"
    assert templates.server.ask(query) == "f|t"
    with pytest.raises(psycopg.OperationalError, match="not currently accepting connections"):
        templates.server.connect(workspace.template)


def test_a_template_is_built_once(templates: Templates) -> None:
    """The next run with the same schema does not migrate."""
    first, second = Schema(DDL), Schema(DDL)
    with templates.lease(first) as one:
        pass
    with templates.lease(second) as two:
        pass
    assert (first.runs, second.runs) == (1, 0)
    assert one.template == two.template


def test_another_schema_is_another_template(templates: Templates) -> None:
    """What is known beforehand decides, and going back finds the earlier template again."""
    other = DDL.replace("root", "admin")
    made = []
    for ddl in (DDL, other, DDL):
        schema = Schema(ddl)
        with templates.lease(schema) as workspace:
            made.append((schema.runs, workspace.template))
    assert [runs for runs, _ in made] == [1, 1, 0]
    assert made[0][1] == made[2][1] != made[1][1]


def test_inputs_that_changed_are_another_template(templates: Templates) -> None:
    """What a migration turned out to read decides as well, and going back finds the earlier template again."""
    made = []
    for digest in ("a", "b", "a"):
        schema = Schema(DDL, {"file:models.py": digest})
        with templates.lease(schema) as workspace:
            made.append((schema.runs, workspace.template))
    assert [runs for runs, _ in made] == [1, 1, 0]
    assert made[0][1] == made[2][1] != made[1][1]


def test_a_rebuild_on_demand(templates: Templates) -> None:
    """With `rebuild` an earlier session's template is made anew; workers of one session make it once."""
    with templates.lease(Schema(DDL)):
        pass
    first, second = Schema(DDL), Schema(DDL)
    with templates.lease(first, rebuild=True, session="s1", worker="gw0") as one:  # noqa: SIM117 - one after another
        with templates.lease(second, rebuild=True, session="s1", worker="gw1") as two:
            assert (first.runs, second.runs) == (1, 0)
            assert one.url != two.url
    assert templates.all() == [one.template]


def test_a_build_that_fails_leaves_nothing(templates: Templates) -> None:
    """A migration that raises leaves neither a template nor a half-made database, and the next run can succeed."""
    with pytest.raises(psycopg.errors.UndefinedTable), templates.lease(Schema("SELECT * FROM nowhere")):
        pass
    assert templates.all() == []
    with templates.lease(Schema(DDL)):
        pass


def test_sequences_stand_where_migrations_left_them(templates: Templates) -> None:
    """What is done to a database before it is sealed moves no sequence."""
    ddl = """
        CREATE SEQUENCE fresh; CREATE SEQUENCE called; CREATE SEQUENCE uncalled; CREATE SCHEMA "o %s";
        SELECT setval('called', 7); SELECT setval('uncalled', 9, false);
        CREATE SEQUENCE "o %s"."x ""y"; SELECT nextval('"o %s"."x ""y"')
    """
    with templates.lease(Schema(ddl)) as workspace:
        query = "SELECT last_value, is_called FROM "
        found = [templates.server.ask(query + name, workspace.url.database)
                 for name in ("fresh", "called", "uncalled", '"o %s"."x ""y"')]  # fmt: skip
    assert found == ["1|f", "7|t", "9|f", "1|t"]


def test_concurrent_runs_build_one_template(templates: Templates, tmp_path: Path) -> None:
    """Of several processes that start at once one migrates, and each gets a database of its own."""
    log = tmp_path / "migrations"
    processes = [templates.start(DDL + "; SELECT pg_sleep(0.3)", HOLD, log) for _ in range(4)]
    names = {entered(process) for process in processes}
    assert len(names) == 4
    assert set(templates.names("clone")) == names
    for process in processes:
        process.communicate("\n")
    assert {process.returncode for process in processes} == {0}
    assert len(log.read_text().splitlines()) == 1
    assert len(templates.all()) == 1


def test_a_build_that_was_killed(templates: Templates, tmp_path: Path) -> None:
    """What a killed build left is no template: the next run builds it, and drops the debris."""
    log = tmp_path / "migrations"
    process = templates.start(DDL + "; SELECT pg_sleep(600)", HOLD, log)
    until(log.exists)
    until(lambda: templates.names("scratch"))
    process.send_signal(signal.SIGKILL)
    process.communicate()
    debris = templates.names("scratch")
    assert len(debris) == 1
    assert log.read_text().split() == debris
    schema = Schema(DDL)
    with templates.lease(schema) as workspace:
        assert templates.server.ask("SELECT count(*) FROM users", workspace.url.database) == "1"
    assert schema.runs == 1
    assert templates.all() == [workspace.template]


def test_databases_of_killed_runs_are_dropped_and_those_of_living_ones_are_not(
    templates: Templates, tmp_path: Path
) -> None:
    """A run drops at its end what killed runs left, and nothing that a living run works in."""
    killed, living = (templates.start(DDL, HOLD, tmp_path / "migrations") for _ in range(2))
    orphan, used = entered(killed), entered(living)
    killed.send_signal(signal.SIGKILL)
    killed.communicate()
    # The server notices a moment later that the run's session is gone.
    lease = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'pristine: run %'"
    until(lambda: templates.server.ask(lease) == "1")
    with templates.lease(Schema(DDL)):
        assert orphan in templates.names("clone")
    assert templates.names("clone") == [used]
    living.communicate("\n")
    assert living.returncode == 0
    assert templates.names("clone") == []


def test_databases_without_our_mark_are_never_dropped(templates: Templates) -> None:
    """A database that is named like ours, and one whose comment is another's, outlive every run."""
    names = [f"pristine_{templates.project}_0123", f"pristine_scratch_{templates.project}"]
    with templates.server.connect() as client:
        for name in names:
            client.execute(f"CREATE DATABASE {name}")  # type: ignore[call-overload]
        client.execute(f"COMMENT ON DATABASE {names[0]} IS 'made by pytest-pristine, by hand'")  # type: ignore[call-overload]
    with templates.lease(Schema(DDL)):
        pass
    with templates.server.connect() as client:
        for name in names:
            assert client.execute("SELECT FROM pg_database WHERE datname = %s", [name]).fetchone() is not None
            client.execute(f"DROP DATABASE {name}")  # type: ignore[call-overload]


def test_eight_templates_are_kept(templates: Templates) -> None:
    """Of many templates of a project the oldest are dropped; those of other projects stay."""
    other = Templates(templates.server, "another_project")
    with other.lease(Schema(DDL)) as stays:
        pass
    made = []
    for number in range(10):
        with templates.lease(Schema(f"CREATE TABLE t{number} ()")) as workspace:
            made.append(workspace.template)
    assert templates.all() == made[2:]
    assert other.all() == [stays.template]


def test_the_template_that_is_used_every_day_is_kept(templates: Templates) -> None:
    """A template that was just used is not the one that nobody has needed for long, however old it is."""
    main = Schema("CREATE TABLE main ()")
    for number in range(9):
        with templates.lease(main):
            pass
        with templates.lease(Schema(f"CREATE TABLE branch{number} ()")):
            pass
    with templates.lease(main):
        pass
    assert main.runs == 1


def test_projects_with_long_and_odd_names(templates: Templates) -> None:
    """A project's directory may have any name; names of databases stay within what Postgres keeps."""
    odd = Templates(templates.server, 'Ünï cödé %s "quoted" ' + "x" * 100)
    with odd.lease(Schema(DDL), worker="gw" + "1" * 20) as workspace:
        name = str(workspace.url.database)
        assert templates.server.ask("SELECT current_database()", name) == name
        assert len(name.encode()) <= 63
        assert len(workspace.template.encode()) <= 63


def test_a_session_that_migrations_left(templates: Templates) -> None:
    """Migrations that leave a session open in the database do not keep it from becoming a template."""
    kept: list[psycopg.Connection[tuple[object, ...]]] = []

    class Leaving(Schema):
        def migrate(self, url: URL) -> Mapping[str, str]:
            kept.append(psycopg.connect(url.set(drivername="postgresql").render_as_string(hide_password=False)))
            return super().migrate(url)

    with templates.lease(Leaving("CREATE TABLE a ()")) as leased:
        assert leased.template in templates.names("template")
    kept[0].close()
