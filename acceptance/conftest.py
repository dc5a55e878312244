"""What the tests here share: the projects, each run twice, and the figures that the runs gave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import xml.etree.ElementTree as ET
from dataclasses import dataclass
from pathlib import Path

import environments
import figures
import oracle
import pytest
from oracle import Dump

# Seconds for one run of a project's tests.
_RUN_SECONDS = 600
# Passed on, these would decide which server is used or which plugins are loaded.
_NOT_PASSED_ON = (
    "PRISTINE_",
    "PYTEST_",
    "TEST_DATABASE_URL",
    "PYTHONPATH",
    "AIRFLOW",
    "PREFECT",
    "DAGSTER",
    "MLFLOW",
    "CKAN",
    "AIIDA",
)


@dataclass(frozen=True, slots=True)
class Case:
    """A project with a history that nobody here wrote.

    Attributes:
        name: Of the directory beside this file.
        versions: The directory of the revisions, in site-packages.
        revisions: How many there are.
        rows: The tables that hold rows before the first test, and how many; counted by hand in the revisions.
        written: The tables whose rows its tests change, at least.
        writers: How many of its tests write.
        branch: The head that its own command goes to, where the history has several.
    """

    name: str
    versions: str
    revisions: int
    rows: dict[str, int]
    written: set[str]
    writers: int
    branch: str = ""


CASES = [
    Case(
        "optuna",
        versions="optuna/storages/_rdb/alembic/versions",
        revisions=10,
        # The second row is the one that the project's own apply_migrations adds.
        rows={"alembic_version": 1, "version_info": 1},
        written={"alembic_version", "version_info", "studies", "study_directions", "study_user_attributes", "trials",
                 "trial_intermediate_values", "trial_params", "trial_user_attributes", "trial_values"},
        writers=8,
    ),
    Case(
        "airflow",
        versions="airflow/migrations/versions",
        revisions=124,
        rows={"alembic_version": 1, "dag_bundle": 2, "log_template": 2, "slot_pool": 1},
        written={"alembic_version", "dag_bundle", "log_template", "slot_pool",
                 "connection", "dag", "dag_tag", "variable"},
        writers=12,
    ),
    # Its env.py is asynchronous and ignores the URL; 17 revisions are CREATE INDEX CONCURRENTLY.
    Case(
        "prefect",
        versions="prefect/server/database/_migrations/versions/postgresql",
        revisions=120,
        rows={"alembic_version": 1},
        written={"alembic_version", "flow", "flow_run", "flow_run_state", "variable"},
        writers=4,
    ),
    # Its own command makes the tables that the first revision alters.
    Case(
        "mlflow",
        versions="mlflow/store/db_migrations/versions",
        revisions=67,
        rows={"alembic_version": 1, "workspaces": 1},
        written={"alembic_version", "workspaces", "experiments", "runs", "metrics", "params", "tags"},
        writers=5,
    ),
    # Its own command makes the tables of today, notes the newest revision, and which of its data migrations are done.
    Case(
        "dagster",
        versions="dagster/_core/storage/alembic/versions",
        revisions=88,
        rows={"alembic_version": 1, "secondary_indexes": 11},
        written={"alembic_version", "secondary_indexes", "runs", "run_tags", "kvs"},
        writers=5,
    ),
    Case(
        "ckan",
        versions="ckan/migration/versions",
        revisions=109,
        rows={"alembic_version": 1},
        written={"alembic_version", '"user"', '"group"', "system_info"},
        writers=5,
    ),
    Case(
        "aiida",
        versions="aiida/storage/psql_dos/migrations/versions",
        revisions=104,
        rows={"alembic_version": 1},
        written={"alembic_version", "db_dbuser", "db_dbnode", "db_dbsetting"},
        writers=5,
        branch="main_0002",
    ),
]  # fmt: skip


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a project's tests.

    Attributes:
        status: pytest's exit status.
        failed: How many failures, errors and skipped tests there were.
        pristine: The database before the first test could write.
        dirty: What each test that writes left, by its name.
        restored: What was there after the restore, by the test's name.
        template: Oid of the template that the database was copied from.
        migration_seconds: From the request for a migrated database until it was there.
        restore: The median of the restores, in milliseconds.
        seconds: The whole process.
    """

    status: int
    failed: dict[str, int]
    pristine: Dump
    dirty: dict[str, Dump]
    restored: dict[str, Dump]
    template: int
    migration_seconds: float
    restore: float
    seconds: float


@dataclass(frozen=True, slots=True)
class Result:
    """Two runs of a project: one that migrates from nothing, and one after it."""

    case: Case
    built: Run
    cached: Run
    revisions: set[str]
    heads: set[str]


_RESULTS = pytest.StashKey[list[Result]]()


_NO_AIRFLOW = pytest.mark.skipif(sys.platform == "win32", reason="Airflow does not run on Windows")
_PARAMETERS = [
    pytest.param(case, id=case.name, marks=[_NO_AIRFLOW] if case.name == "airflow" else []) for case in CASES
]


@pytest.fixture(scope="session", params=_PARAMETERS)
def result(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Result:
    """A project's tests, run in its own environment: first without, then with what the first run left."""
    case: Case = request.param
    project = Path(__file__).parent / case.name
    python = environments.provide(project)
    dumps = [tmp_path_factory.mktemp(f"{case.name}-{name}") for name in ("built", "cached")]
    built = _run(python, project, dumps[0], "--pristine-create-db")
    cached = _run(python, project, dumps[1])
    found = Result(case, built, cached, *oracle.history(_site_packages(python) / case.versions))
    request.config.stash.setdefault(_RESULTS, []).append(found)
    _keep(found, project)
    return found


def _keep(found: Result, project: Path) -> None:
    """Keep the figures for the table in the documents."""
    requirement = (project / "requirements.txt").read_text(encoding="utf-8").splitlines()[1]
    version = requirement.partition("==")[2]
    row = {
        "revisions": len(found.revisions),
        "tables": _tables(found.built.pristine),
        "cold": found.built.migration_seconds,
        "warm": found.cached.migration_seconds,
        "restore": found.cached.restore,
    }
    figures.keep("histories", f"{found.case.name} {version}", row)


def _tables(dump: Dump) -> int:
    return sum(line.startswith("CREATE TABLE ") for line in dump.definitions)


def _run(python: Path, project: Path, dumps: Path, *arguments: str) -> Run:
    """Run a project's tests as its developer would."""
    report = dumps / "report.xml"
    command = [str(python), "-m", "pytest", f"--dumps={dumps}", f"--junitxml={report}",
               f"--pristine-report={dumps / 'report'}", *arguments]  # fmt: skip
    environment = {name: value for name, value in os.environ.items() if not name.startswith(_NOT_PASSED_ON)}
    started = time.perf_counter()
    done = subprocess.run(command, cwd=project, env=environment, check=False, timeout=_RUN_SECONDS)
    seconds = time.perf_counter() - started
    suite = ET.parse(report).getroot().find("testsuite")  # noqa: S314 - pytest wrote it
    assert suite is not None
    facts_file = dumps / "facts.json"
    assert facts_file.exists(), f"{project.name} got no database: see the output of its tests"
    facts = json.loads(facts_file.read_text(encoding="utf-8"))
    return Run(
        done.returncode,
        {outcome: int(suite.attrib[outcome]) for outcome in ("failures", "errors", "skipped")},
        oracle.read_dump(dumps / "pristine.sql"),
        _dumps(dumps, ".dirty.sql"),
        _dumps(dumps, ".restored.sql"),
        facts["template"],
        facts["seconds"],
        figures.median_restore(json.loads((dumps / "report" / "report.json").read_text(encoding="utf-8"))),
        seconds,
    )


def _dumps(directory: Path, ending: str) -> dict[str, Dump]:
    return {path.name.removesuffix(ending): oracle.read_dump(path) for path in sorted(directory.glob(f"*{ending}"))}


def _site_packages(python: Path) -> Path:
    command = [str(python), "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"]
    return Path(subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip())


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    """Show the figures of each project."""
    for found in config.stash.get(_RESULTS, []):
        terminalreporter.write_line(
            f"{found.case.name}: {len(found.revisions)} revisions, {_tables(found.built.pristine)} tables, "
            f"{sum(found.built.pristine.filled.values())} rows; "
            f"at head in {found.built.migration_seconds:.1f} s, from the template in "
            f"{found.cached.migration_seconds:.2f} s; {len(found.built.dirty)} tests restored; "
            f"the whole run {found.built.seconds:.1f} s and {found.cached.seconds:.1f} s"
        )
