"""Migrations at head, models and migrations agree: when it is said, and when not."""

from __future__ import annotations

from pathlib import Path

import pytest

from pytest_pristine.migrations.evidence import Evidence
from pytest_pristine.verify.migrations import judge
from pytest_pristine.verify.records import ProcessRecord
from tests.conftest import Home, Project, Server, lay_out, new_database, new_role

_CONFTEST = """
    import pytest

    from pytest_pristine.plugin import recording
    from pytest_pristine.verify import migrations

    {more}

    @pytest.hookimpl(trylast=True)
    def pytest_sessionfinish(session):
        item = migrations.judge([recording.of_process(session.config)])
        with open("items", "a") as file:
            print(item.state, item.found, *item.offenders, *item.remedy, sep=" | ", file=file)
"""
_ENV_PY = """
    from alembic import context
    from sqlalchemy import Column, Integer, MetaData, Table, Text, UniqueConstraint

    metadata = MetaData()
    users = Table("users", metadata, Column("id", Integer, primary_key=True), Column("name", {type}, nullable=False),
                  UniqueConstraint("name"))
    context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
    with context.begin_transaction():
        context.run_migrations()
"""
_SECOND = 'revision, down_revision = "0002", "0001"\n\ndef upgrade():\n    pass\n'
_GOOD = Evidence(["0008"], ["0008"], has_head=True, names_models=True)


@pytest.fixture
def project(tmp_path: Path, shared_home: Home) -> Project:
    """A project that writes what is judged into a file."""
    made = lay_out(tmp_path / "shop", shared_home)
    made.write("conftest.py", _CONFTEST.format(more=""))
    return made


def judged(project: Project, *arguments: str, **environ: str) -> list[str]:
    """Run the tests; gives what each process judged of itself."""
    run = project.run(*arguments, **environ)
    assert run.status == 0, run.output
    path = project.path / "items"
    lines = path.read_text().splitlines()
    path.unlink()
    return lines


def of(*found: Evidence | None) -> tuple[str, str]:
    """State and words for processes with the given evidence."""
    item = judge([ProcessRecord("gw", used=True, migrated=each.as_dict() if each else {}) for each in found])
    assert (item.key, item.title) == ("migrations", "migrations at head, models and migrations agree")
    assert item.state != "failed" or (item.remedy and item.offenders)
    return item.state, item.found


def test_passed() -> None:
    """A database at head that is what the models say is good, in every process."""
    assert of(_GOOD, _GOOD) == ("passed", "at 0008 (head); Alembic finds no difference between models and database")


def test_what_ran_besides_alembic() -> None:
    """What ran is named; whether it is at head is said where it is known, and told as unknown where it is not."""
    files = Evidence(ran=["sql: seeds (2 files, the last 2.sql)"])
    assert of(files) == ("passed", "ran sql: seeds (2 files, the last 2.sql); no models are compared")
    command = Evidence(ran=["command: make db"], doubt="a command does not tell")
    assert of(command) == ("unknown", "ran command: make db; a command does not tell")
    both = Evidence(["0008"], ["0008"], has_head=True, config="alembic.ini", ran=["command: make db"], doubt="none")
    assert of(both) == ("passed", "at 0008 (head); env.py names no models; ran command: make db")


def test_one_process_of_several() -> None:
    """One bad or unknown process is enough, and what is bad comes before what is unknown."""
    behind = Evidence(["0007"], ["0008"])
    doubtful = Evidence(problem="env.py raised")
    assert of(_GOOD, None) == ("unknown", "the project's own migrator tells nothing")
    assert of(_GOOD, doubtful) == ("unknown", "models could not be compared: env.py raised")
    assert of(_GOOD, None, doubtful, behind) == ("failed", "at 0007, which is not the head: 0008")


def test_nothing_migrated() -> None:
    """Without a database there is nothing to claim; processes that made none do not matter."""
    assert judge([]).state == judge([ProcessRecord("gw0")]).state == "unknown"
    assert judge([ProcessRecord("gw0"), ProcessRecord("gw1", migrated=_GOOD.as_dict())]).state == "passed"


def test_no_revisions() -> None:
    """An empty history proves nothing."""
    assert of(Evidence(has_head=True))[0] == "unknown"


def test_differences_that_were_not_kept_are_counted() -> None:
    """Offenders are what was kept, and how many more there are."""
    found = Evidence(["1"], ["1"], has_head=True, names_models=True, differences=["a: b"], number=3, config="x/a.ini")
    item = judge([ProcessRecord("main", migrated=found.as_dict())])
    assert item.offenders == ("a: b", "2 more differences")
    assert item.remedy[0] == 'alembic -c x/a.ini revision --autogenerate -m "…"'


def test_a_run(project: Project) -> None:
    """A run with models that agree is good, when the template is built and when it is there already."""
    project.write("migrations/env.py", _ENV_PY.format(type="Text"))
    for _ in range(2):
        assert judged(project) == ["passed | at 0001 (head); Alembic finds no difference between models and database"]


def test_a_run_without_models(project: Project) -> None:
    """A run whose env.py names no models is good, and says so."""
    assert judged(project) == ["passed | at 0001 (head); env.py names no models"]


def test_models_that_differ(project: Project) -> None:
    """Models that differ turn it red, with each difference and the line that writes the revision."""
    project.write("migrations/env.py", _ENV_PY.format(type="Integer"))
    for _ in range(2):
        (line,) = judged(project)
        assert line.startswith(
            "failed | at 0001 (head); the models differ from the migrations in 1 | column users.name: "
        )
        assert 'alembic revision --autogenerate -m "…"' in line


def test_a_target_before_the_head(project: Project) -> None:
    """A target before the head turns it red, in a warm run too."""
    project.write("migrations/versions/0002.py", _SECOND)
    project.write("pytest.ini", "[pytest]\npristine_alembic_target = 0001\n")
    for _ in range(2):
        (line,) = judged(project)
        assert line.startswith("failed | at 0001, which is not the head: 0002 | revision 0002 is not applied | ")


@pytest.mark.parametrize(
    ("migrator", "said"),
    [
        (
            'pytest_pristine.Alembic(config="alembic.ini", target="0001")',
            "failed | at 0001, which is not the head: 0002",
        ),
        ("Own(config='alembic.ini')", "passed | at 0002 (head)"),
        ("Silent(config='alembic.ini')", "unknown | the project's own migrator tells nothing"),
    ],
)
def test_an_apply_migrations_of_the_projects_own(project: Project, migrator: str, said: str) -> None:
    """A migrator of the project's own is judged by what it hands on."""
    project.write("migrations/versions/0002.py", _SECOND)
    own = f"""
    import pytest_pristine
    from pathlib import Path

    class Own(pytest_pristine.Alembic):
        def fingerprint(self):
            return type(self).__name__ + super().fingerprint()

        def migrate(self, url):
            return super().migrate(url)

    class Silent(Own):
        def migrate(self, url):
            return dict(super().migrate(url))

    @pytest.fixture(scope="session")
    def apply_migrations(postgres_server):
        import dataclasses
        migrator = {migrator}
        migrator = dataclasses.replace(migrator, config=Path("alembic.ini").absolute())
        with postgres_server.migrated_database(migrator) as database:
            yield database
    """
    project.write("conftest.py", _CONFTEST.format(more=own))
    (line,) = judged(project)
    assert line.startswith(said)


def test_workers(project: Project) -> None:
    """The evidence reaches workers that are handed their databases."""
    project.write("migrations/env.py", _ENV_PY.format(type="Integer"))
    project.write("test_more.py", (project.path / "test_users.py").read_text())
    lines = [
        line for line in judged(project, "-p", "xdist", "-n", "2", "--dist", "loadfile") if "no database" not in line
    ]
    assert len(lines) == 2
    assert all(line.startswith("failed | at 0001 (head); the models differ") for line in lines)


def test_in_place(project: Project, server: Server) -> None:
    """Where the role may make no databases the evidence is of the database that was named."""
    with new_role(server, "NOCREATEDB") as role, new_database(server, str(role.username)) as database:
        url = role.set(database=database.database).render_as_string(hide_password=False)
        (line,) = judged(project, TEST_DATABASE_URL=url)
    assert line == "passed | at 0001 (head); env.py names no models"


def test_inline(project: Project) -> None:
    """Migrations in the process of the tests are not known to be good; it is said why, and what gives evidence."""
    # Templates are shared by projects with the same history.
    project.write("migrations/versions/0002.py", _SECOND + "\n# Its own.\n")
    (line,) = judged(project, "--pristine-migrations-process=inline")
    assert line.startswith("unknown | models could not be compared: the migrations ran in the process of the tests")
    options = ["--pristine-create-db", "--pristine-migrations-process=child"]
    assert " ".join(options) in line
    assert judged(project) == [line]
    assert judged(project, *options) == ["passed | at 0002 (head); env.py names no models"]
