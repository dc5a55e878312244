"""pytest-xdist: the controller finds the server and makes all databases, and workers are handed theirs."""

from __future__ import annotations

import collections
import os
import re
import signal

import psutil
import pytest

from pytest_pristine.postgres import marks
from tests.conftest import CALLED, Project, finish, wait_until
from tests.workers.conftest import Crew

XDIST = ("-p", "xdist", "-q")


def test_one_server_one_template_and_one_copy_for_each_worker(crew: Crew) -> None:
    """Three workers work in three copies, made in one run of one template that was migrated once; none is left."""
    migration = crew.project.path / "migrations/versions/0001_users.py"
    migration.write_text(migration.read_text() + "    open('migrated', 'a').write('once ')\n")
    process = crew.project.start(*XDIST, "-n3", PRISTINE_LINGER="30")
    wait_until(lambda: (crew.project.path / "seen").exists() or process.poll() is not None, "the first test runs")
    copies = [mark for mark in crew.marks() if mark.kind == marks.CLONE]
    run = finish(process)
    assert (run.status, len(crew.home.postmasters())) == (0, 1), run.output
    names = {worker: database for worker, _, database in crew.seen()}
    assert len(names) == len(set(names.values())) == 3
    assert len(copies) == 3
    assert len({mark.run for mark in copies}) == 1
    assert [mark.kind for mark in crew.marks()].count(marks.TEMPLATE) == 1
    assert (crew.project.path / "migrated").read_text() == "once "
    assert crew.left() == []


def test_the_header(shared_crew: Crew) -> None:
    """The controller says once which server it is, before the first result."""
    run = shared_crew.project.run(*XDIST, "-v", "-n2")  # it undoes -q
    assert run.output.count(f"pristine: {CALLED};") == 1
    assert run.output.index(CALLED) < run.output.index("....")


@pytest.mark.parametrize("way", ["load", "loadscope", "loadfile", "loadgroup", "worksteal", "each"])
def test_ways_to_distribute(shared_crew: Crew, way: str) -> None:
    """However tests are distributed, each worker has one database and all of them pass."""
    run = shared_crew.project.run(*XDIST, "-n2", f"--dist={way}")
    assert run.status == 0, run.output
    seen = shared_crew.seen()
    assert len(seen) == (36 if way == "each" else 18)
    assert len({(worker, database) for worker, _, database in seen}) == len({worker for worker, _, _ in seen})


@pytest.mark.parametrize(("option", "status"), [("-x", 2), ("--maxfail=2", 2)])
def test_runs_that_stop_early(crew: Crew, option: str, status: int) -> None:
    """A run that stops at a failure leaves no database."""
    crew.project.write("test_a.py", "def test_fails(note): assert False\ndef test_fails_too(note): assert False\n")
    run = crew.project.run(*XDIST, "-n2", option, PRISTINE_LINGER="30")
    assert run.status == status, run.output
    assert crew.left() == []


def test_no_server(project: Project) -> None:
    """A run that finds no server ends with status 4 and one message, and no worker runs a test."""
    project.write("test_more.py", "def test_plain(): open('ran', 'w')\n")
    run = project.run(*XDIST, "-n2", "--pristine-server=docker", DOCKER_HOST="unix:///nowhere.sock")
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert run.output.count("sought:  a Postgres server") == 1
    assert "(--pristine-server: docker)" in run.output
    assert not (project.path / "ran").exists()


def test_a_setting_that_cannot_be_read(project: Project) -> None:
    """So does one with a setting that cannot be read."""
    run = project.run(*XDIST, "-n2", "--pristine-linger=soon")
    assert (run.status, run.output.count("a number of seconds for --pristine-linger")) == (4, 1), run.output


@pytest.mark.parametrize("arguments", [["test_plain.py"], ["-k", "plain"], ["--collect-only"]])
def test_a_run_without_our_fixtures(crew: Crew, arguments: list[str]) -> None:
    """Workers whose tests want no database, whatever else was collected, start nothing and import nothing heavy."""
    crew.project.write(
        "test_plain.py",
        """
        import sys

        def test_plain():
            assert not {"psycopg", "alembic"} & set(sys.modules)
        """,
    )
    run = crew.project.run(*XDIST, "-n2", *arguments)
    assert run.status == 0, run.output
    assert not (crew.home.path / "servers").exists()


def test_tests_that_a_conftest_leaves_out(crew: Crew) -> None:
    """A run whose tests with a database are left out after they were collected needs none."""
    conftest = crew.project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "\ndef pytest_collection_modifyitems(items):\n"
        "    items[:] = [item for item in items if 'note' not in item.fixturenames]\n"
    )
    crew.project.write("test_plain.py", "def test_plain(): pass\n")
    run = crew.project.run(*XDIST, "-n2", TEST_DATABASE_URL="postgresql://nobody@127.0.0.1:1/nothing")
    assert run.status == 0, run.output


def test_two_databases_of_one_worker(crew: Crew) -> None:
    """A worker that asks for a second database gets another one, and keeps the first."""
    conftest = crew.project.path / "conftest.py"
    conftest.write_text(
        conftest.read_text() + "\n@pytest.fixture\ndef second(postgres_server, note):\n"
        "    with postgres_server.migrated_database() as database:\n        yield database\n"
    )
    crew.project.write(
        "test_a.py",
        """
        from sqlalchemy import text

        def test_second(postgres_engine, note, second):
            assert second.url.database != postgres_engine.url.database
            with postgres_engine.connect() as connection:
                assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2
        """,
    )
    run = crew.project.run(*XDIST, "-n2", PRISTINE_LINGER="30")
    assert run.status == 0, run.output
    assert crew.left() == []


def test_migrations_that_fail(crew: Crew) -> None:
    """The migration's error is that of each test, and it is not tried again."""
    migration = crew.project.path / "migrations/versions/0001_users.py"
    migration.write_text(migration.read_text().replace("('root')", "('root'), (1 / 0)::text"))
    env = crew.project.path / "migrations/env.py"
    env.write_text("open('tried', 'a').write('x')\n" + env.read_text())
    run = crew.project.run(*XDIST, "-n2")
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "18 errors" in run.output
    assert "revision 0001 in migrations/versions/0001_users.py failed" in run.message()
    assert (crew.project.path / "tried").read_text() == "x"


def test_migrations_that_fail_at_first(crew: Crew) -> None:
    """Migrations are run with the modules and the environment that a worker has, and not the controller."""
    project = crew.project
    project.write("deep/er/conftest.py", "import os, sys; os.environ['APP_NAME'] = 'root'\n")
    project.write("deep/er/app_names.py", "import os; NAME = os.environ['APP_NAME']\n")
    project.write("deep/er/test_deep.py", "def test_deep(note): pass\n")
    migration = project.path / "migrations/versions/0001_users.py"
    text = migration.read_text().replace("\"INSERT INTO users (name) VALUES ('root')\"", "text")
    migration.write_text(
        text.replace("def upgrade():", "def upgrade():\n    import app_names\n    text = "
                     'f"INSERT INTO users (name) VALUES (\'{app_names.NAME}\')"')
    )  # fmt: skip
    for path in project.path.glob("test_*.py"):
        path.unlink()
    run = project.run(*XDIST, "-n2")
    assert run.status == 0, run.output


@pytest.mark.parametrize("way", ["inline", "custom", "override"])
def test_workers_that_make_their_own(crew: Crew, way: str) -> None:
    """Migrations in line, or of the project's own making, are run by a worker, once for all; no database is left."""
    path = crew.project.path
    conftest = (path / "conftest.py").read_text()
    if way == "custom":
        conftest += (
            "\nfrom pytest_pristine import Alembic\n\n@pytest.fixture(scope='session')\n"
            "def apply_migrations(postgres_server):\n"
            "    migrations = Alembic(Path(__file__).parent / 'alembic.ini')\n"
            "    with postgres_server.migrated_database(migrations) as database:\n        yield database\n"
        )
    if way == "override":
        conftest += (
            "\n@pytest.fixture(scope='session')\ndef apply_migrations(apply_migrations):\n    return apply_migrations\n"
        )
    (path / "conftest.py").write_text(conftest)
    first = path / "migrations/versions/0001_users.py"
    first.write_text(first.read_text() + f"    open({str(path / 'tried')!r}, 'a').write('x')\n")
    options = ["--pristine-migrations-process=inline"] if way == "inline" else []
    run = crew.project.run(*XDIST, "-n2", *options, PRISTINE_LINGER="30")
    assert run.status == 0, run.output
    assert (path / "tried").read_text() == "x"
    assert len({database for _, _, database in crew.seen()}) == 2
    assert crew.left() == []


def test_migrations_from_nothing(crew: Crew) -> None:
    """--pristine-create-db migrates once for all workers, also where a template is there."""
    first = crew.project.path / "migrations/versions/0001_users.py"
    first.write_text(first.read_text() + "    open('tried', 'a').write('x')\n")
    for expected in ("x", "xx"):
        run = crew.project.run(*XDIST, "-n2", "--pristine-create-db", PRISTINE_LINGER="30")
        assert run.status == 0, run.output
        assert (crew.project.path / "tried").read_text() == expected


def test_a_worker_that_dies(crew: Crew) -> None:
    """A worker that dies is replaced by one with a database of its own, only its test fails, and nothing is left."""
    crew.project.write("test_a.py", "import os\ndef test_dies(note): os._exit(9)\n")
    run = crew.project.run(*XDIST, "-n2", PRISTINE_LINGER="30")
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert "1 failed, 18 passed" in run.output
    databases = collections.defaultdict(set)
    for worker, _, database in crew.seen():
        databases[worker].add(database)
    assert all(len(names) == 1 for names in databases.values())
    assert len(set().union(*databases.values())) == len(databases)
    assert crew.left() == []


def test_a_controller_that_is_killed(crew: Crew) -> None:
    """When the controller is killed its workers end, and what they had is dropped although no other run comes."""
    process = crew.project.start(*XDIST, "-n2", PRISTINE_LINGER="30")
    wait_until((crew.project.path / "seen").exists, "the first test runs")
    assert marks.CLONE in crew.left()
    workers = [each for each in psutil.Process(process.pid).children() if each.name().startswith("python")]
    process.kill()
    process.communicate()
    psutil.wait_procs(workers, timeout=30)
    wait_until(lambda: crew.left() == [], "the keeper drops the databases")
    run = crew.project.run(*XDIST, "-n2")
    assert run.status == 0, run.output


def test_ctrl_c(crew: Crew) -> None:
    """Ctrl-C ends a run with workers with status 2, and leaves no database."""
    process = crew.project.start(*XDIST, "-n2", PRISTINE_LINGER="30")
    wait_until((crew.project.path / "seen").exists, "the first test runs")
    process.send_signal(signal.SIGINT)
    run = finish(process)
    assert run.status == pytest.ExitCode.INTERRUPTED, run.output
    assert crew.left() == []


def test_ctrl_c_while_migrations_run(crew: Crew) -> None:
    """A run that is ended does not wait for its migrations, also when the signal reaches pytest alone."""
    migration = crew.project.path / "migrations/versions/0001_users.py"
    wait = "    import pathlib, time\n    pathlib.Path('migrates').touch()\n    time.sleep(300)\n"
    migration.write_text(migration.read_text() + wait)
    process = crew.project.start(*XDIST, "-n1", PRISTINE_LINGER="30")
    wait_until((crew.project.path / "migrates").exists, "the migration runs")
    process.send_signal(signal.SIGINT)
    assert finish(process).status == pytest.ExitCode.INTERRUPTED
    assert crew.left() == []


def test_another_interpreter(shared_crew: Crew) -> None:
    """A worker of another interpreter than the controller's finds the server and makes its database by itself."""
    run = shared_crew.project.run(*XDIST, f"--tx=popen//python={os.path.realpath('/proc/self/exe')}", "--dist=load",
                                  PYTHONPATH=os.pathsep.join(filter(None, __import__("sys").path)))  # fmt: skip
    assert run.status == 0, run.output
    assert len(shared_crew.seen()) == 18


def test_without_xdist(shared_crew: Crew) -> None:
    """Where pytest-xdist is there and switched off, nothing is missing."""
    run = shared_crew.project.run("-q", "-p", "no:xdist")
    assert run.status == 0, run.output
    assert {worker for worker, _, _ in shared_crew.seen()} == {"main"}


def test_other_plugins(shared_crew: Crew) -> None:
    """Random order, reruns and coverage work with workers: a flaky test is run again on a clean database."""
    shared_crew.project.write(
        "test_flaky.py",
        """
        from pathlib import Path

        def test_flaky(note):
            first = not Path("tried").exists()
            Path("tried").touch()
            assert not first
        """,
    )
    run = shared_crew.project.run(
        *XDIST, "-n2", "-p", "randomly", "-p", "rerunfailures", "--reruns=1", "-p", "pytest_cov", "--cov=.",
        "--cov-branch",
    )  # fmt: skip
    assert run.status == 0, run.output
    assert "19 passed, 1 rerun" in run.output
    assert re.search(r"^TOTAL .*%$", run.output, re.MULTILINE)


# pytest-forked does not work with the pytest of the day; this does what it does.
FORKED = """
    import os, pickle, tempfile

    import pytest
    from _pytest.runner import runtestprotocol

    def pytest_addoption(parser):
        parser.addoption("--forked", action="store_true")

    def pytest_runtest_protocol(item):
        if not (item.config.getoption("forked") or item.get_closest_marker("forked")):
            return None
        with tempfile.NamedTemporaryFile() as answer:
            child = os.fork()
            if child == 0:
                reports = runtestprotocol(item, log=False)
                with open(answer.name, "wb") as file:
                    pickle.dump(reports, file)
                os._exit(0)
            assert os.waitpid(child, 0)[1] == 0
            reports = pickle.loads(answer.read())
        item.ihook.pytest_runtest_logstart(nodeid=item.nodeid, location=item.location)
        for report in reports:
            item.ihook.pytest_runtest_logreport(report=report)
        item.ihook.pytest_runtest_logfinish(nodeid=item.nodeid, location=item.location)
        return True
"""


@pytest.mark.parametrize("workers", [[], ["-p", "xdist", "-n2"]], ids=["alone", "workers"])
def test_forks(crew: Crew, workers: list[str]) -> None:
    """Where each test runs in a fork, each has a clean database, and at the end none is left."""
    crew.project.write("forked_plugin.py", FORKED)
    run = crew.project.run(*workers, "-q", "-p", "forked_plugin", "--forked", PYTHONPATH=".", PRISTINE_LINGER="30")
    assert run.status == 0, run.output
    seen = crew.seen()
    assert (len(seen), len({pid for _, pid, _ in seen})) == (18, 18)
    assert crew.left() == []


def test_some_forks(crew: Crew) -> None:
    """A test in a fork uses the parent's database by connections of its own, and the parent goes on with its own."""
    crew.project.write("forked_plugin.py", FORKED)
    crew.project.write(
        "test_mixed.py",
        """
        import pytest

        def test_before(note): pass

        @pytest.mark.forked
        def test_forked(note): pass

        def test_after(note): pass
        """,
    )
    run = crew.project.run("-q", "-p", "forked_plugin", "test_mixed.py", PYTHONPATH=".", PRISTINE_LINGER="30")
    assert run.status == 0, run.output
    assert "were ended" not in run.output
    assert len({database for _, _, database in crew.seen()}) == 1
    assert crew.left() == []
