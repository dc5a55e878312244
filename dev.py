"""What a developer of this repository runs. It needs Python 3.11 and a package index, nothing else.

python3 dev.py demo              the guide's integration tests, on a Postgres that comes with the environment
python3 dev.py test [...]        every test, on PostgreSQL 18, 16 and 15; arguments go to pytest, after
                                 `--postgres 18`, if that is given: then on that version alone
python3 dev.py engine [...]      tests with a real container engine (root, Podman); arguments go to pytest
python3 dev.py acceptance [...]  real migrations of other people's packages; arguments go to pytest
python3 dev.py lint              ruff, mypy for each platform, import contracts, the documents as a site
python3 dev.py bench start       how long a session takes to start; further arguments go to bench/start.py
python3 dev.py bench restore     how long it takes to undo a test; further arguments go to bench/restore/run.py
python3 dev.py bench proof       what proving a restore costs; further arguments go to bench/restore/proof.py
python3 dev.py bench session     what rolling a test back costs, beside clean_database; further arguments go to
                                 bench/restore/session.py
python3 dev.py bench fresh       how long tests wait for fresh_database; further arguments go to bench/restore/fresh.py
python3 dev.py bench workers     what many workers cost and gain; further arguments go to bench/workers/run.py
python3 dev.py bench report      how the report's page fares with 5,000 tests and 500 tables, in Chromium
python3 dev.py bench delta       what one new revision costs; further arguments go to bench/delta.py
python3 dev.py bench layers      what a layer of data costs; further arguments go to bench/restore/layers.py
python3 dev.py bench schema-coverage
                                 what schema coverage costs; further arguments go to bench/schema_coverage.py
python3 dev.py sqlalchemy 2.0    the tests that it concerns, with another version of SQLAlchemy; further arguments go to
                                 pytest
python3 dev.py mutate [...]      breaks each branch of the restore: some test must notice; -k WORD chooses
python3 dev.py crashes [...]     kills processes of runs at random moments (root, Linux): nothing may be lost or hang
python3 dev.py bench record      several of these, with machine and date, for the page of benchmarks
python3 dev.py docs [--write]    the documents: the site, built strictly into build/site, links, examples, and the pages
                                 made of the code, which --write makes anew
python3 dev.py pin               write constraints.txt anew, with the newest versions that pyproject.toml allows

The first of them makes an environment in .venv, which takes about a minute. It is made again when what belongs in it
changes.
"""

from __future__ import annotations

import argparse
import hashlib
import importlib.util
import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Container

ROOT = Path(__file__).resolve().parent
ENVIRONMENT = ROOT / ".venv"
PYPROJECT = ROOT / "pyproject.toml"
CONSTRAINTS = ROOT / "constraints.txt"

OLDEST_PYTHON = (3, 11)
# As the guide has it, to the letter.
GUIDE = "pytest backend/tests/integration --cov=backend.services.orchestrator --cov-report=term-missing --cov-branch"
PLATFORMS = ("linux", "darwin", "win32")
BENCHES = {
    "record": "bench/record.py",
    "start": "bench/start.py", "restore": "bench/restore/run.py", "workers": "bench/workers/run.py",
    "report": "bench/report.py", "proof": "bench/restore/proof.py", "session": "bench/restore/session.py",
    "delta": "bench/delta.py", "fresh": "bench/restore/fresh.py", "layers": "bench/restore/layers.py",
    "schema-coverage": "bench/schema_coverage.py",
}  # fmt: skip
# What says that a page in docs/ is not what the code says.
MADE_PAGES = ["python", "-m", "docs.generate", "--check"]
ENGINE_MISSING = f"""
{"!" * 80}
THE TESTS OF THE SOURCE docker WERE NOT RUN: there is no container engine here.
Why, and what to type, stands above.
{"!" * 80}
"""
BY_SQLALCHEMY = ("tests/drivers", "tests/plugin", "tests/postgres/test_urls.py", "tests/verify/test_failures.py")
# pytest's exit status when it found no test, or the arguments selected none.
NO_TESTS = 5


class Problem(Exception):  # noqa: N818 - it is shown to the developer, who may have made no error
    """Something for the developer to mend."""

    def __init__(self, sought: str, found: str, *remedies: str) -> None:
        lines = [f"sought:  {sought}", f"found:   {found}", *(f"to do:   {remedy}" for remedy in remedies)]
        super().__init__("\n".join(lines))


def main() -> int:
    """Run a verb; gives the exit status."""
    parser = argparse.ArgumentParser(
        prog="dev.py", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("verb", choices=VERBS, metavar="verb", help="one of the above")
    parser.add_argument("arguments", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.arguments and chosen.verb not in WITH_ARGUMENTS:
        parser.error(f"{chosen.verb} takes no arguments")
    try:
        check_python()
        if chosen.verb != "pin":
            provide_environment()
        return VERBS[chosen.verb](chosen.arguments)
    except Problem as problem:
        print(problem, file=sys.stderr)
        return 1


# The verbs


def demo(_: list[str]) -> int:
    """Run the guide's integration tests."""
    return run(shlex.split(GUIDE), PYTHONPATH=".")


def test(arguments: list[str]) -> int:
    """Run every test but the acceptance tests, which have environments of their own."""
    # Which versions are tested is no business of the guide's tests.
    further = arguments[2:] if arguments[:1] == ["--postgres"] else arguments
    statuses = {
        "product (tests)": run(["python", "tests/versions.py", *arguments]),
        "guide (backend/tests/integration)": run([*shlex.split(GUIDE), *further], PYTHONPATH="."),
    }
    # Arguments may select tests of one group alone.
    return summarise(statuses, passing=(0, NO_TESTS) if further else (0,))


def acceptance(arguments: list[str]) -> int:
    """Run the plugin on real histories of other people's packages."""
    return run(["python", "-m", "pytest", "acceptance", "-c", "acceptance/pytest.ini", *arguments])


def engine(arguments: list[str]) -> int:
    """Run the tests that need a container engine; with --if-possible first, say loudly that they were not run."""
    only_if_possible = arguments[:1] == ["--if-possible"]
    if run(["python", "-m", "tests.engine.podman"]) == 0:
        return run(["pytest", "tests/engine", "-m", "engine", *arguments[only_if_possible:]])
    print(ENGINE_MISSING, flush=True)
    return 0 if only_if_possible else 1


def lint(_: list[str]) -> int:
    """Run all static checks, also when an earlier one failed."""
    commands = [["ruff", "check"], ["ruff", "format", "--check"]]
    # A cache for each platform: with one for all, each run would throw away what the last one found.
    commands += [["mypy", "--platform", platform, "--cache-dir", f".mypy_cache/{platform}"] for platform in PLATFORMS]
    commands += [["lint-imports", "--no-logo"], MADE_PAGES]
    statuses = {" ".join(command[:3]): run(command) for command in commands}
    return summarise({**statuses, "mkdocs build --strict": build_site()})


def bench(arguments: list[str]) -> int:
    """Measure."""
    what, *further = arguments or [""]
    if what not in BENCHES:
        raise Problem("what to measure", repr(what), *(f"python3 dev.py bench {name}" for name in BENCHES))
    return run(["python", BENCHES[what], *further])


def sqlalchemy(arguments: list[str]) -> int:
    """Run the tests that a version of SQLAlchemy could decide, with another one than is pinned."""
    if not arguments:
        raise Problem("a version of SQLAlchemy", "none", "python3 dev.py sqlalchemy 2.0")
    version, *further = arguments
    place = ENVIRONMENT / f"sqlalchemy-{version}"
    if not place.is_dir():
        pip(ENVIRONMENT, "--no-deps", "--target", str(place), f"sqlalchemy=={version}.*")
    # Whatever stands here is imported before what is installed, in the processes that tests start, too.
    return run(["pytest", *(further or BY_SQLALCHEMY)], PYTHONPATH=str(place))


def mutate(arguments: list[str]) -> int:
    """Check that tests notice when a branch of the restore is broken."""
    return run(["python", "tests/mutations.py", *arguments])


def crashes(arguments: list[str]) -> int:
    """Kill processes of runs at random moments."""
    return run(["python", "-m", "tests.crashes", *arguments])


def docs(arguments: list[str]) -> int:
    """Check the documents and build the site; with --write, make the pages anew that are made of the code."""
    if arguments == ["--write"]:
        return run(["python", "-m", "docs.generate"])
    if arguments:
        raise Problem("what to do with the documents", shlex.join(arguments), "python3 dev.py docs", "or with --write")
    return summarise(
        {
            "pages made of the code": run(MADE_PAGES),
            "mkdocs build --strict": build_site(),
            "links and examples": run(["pytest", "tests/packaging/test_documents.py", "tests/documents"]),
        }
    )


def build_site() -> int:
    """Build the site; a link that leads nowhere is an error."""
    # What its theme says of the next MkDocs is no business of a build,.
    return run(["mkdocs", "build", "--strict", "--quiet"], NO_MKDOCS_2_WARNING="1")


def pin(_: list[str]) -> int:
    """Write the versions of everything that an environment without constraints gets."""
    with tempfile.TemporaryDirectory(prefix="pin-") as scratch:
        environment = Path(scratch) / "environment"
        make_environment(environment, pinned=False)
        frozen = subprocess.run(
            [program("python", environment), "-m", "pip", "freeze", "--all", "--exclude-editable",
             "--exclude", "setuptools"],
            check=True, capture_output=True, text=True,
        ).stdout  # fmt: skip
    header = "# Written by `python3 dev.py pin`. What only another system or Python needs is not pinned.\n"
    CONSTRAINTS.write_text(header + frozen, encoding="utf-8", newline="\n")
    return 0


VERBS = {
    "demo": demo, "test": test, "engine": engine, "acceptance": acceptance, "lint": lint, "bench": bench,
    "mutate": mutate, "crashes": crashes, "docs": docs, "pin": pin,
    "sqlalchemy": sqlalchemy,
}  # fmt: skip
WITH_ARGUMENTS = ("test", "engine", "acceptance", "bench", "mutate", "crashes", "docs", "sqlalchemy")


# The environment


def check_python() -> None:
    """Refuse a Python that cannot run the product, or that lives in the environment to be made."""
    if sys.version_info < OLDEST_PYTHON:
        oldest = ".".join(map(str, OLDEST_PYTHON))
        raise Problem(
            f"Python {oldest} or newer",
            f"Python {sys.version.split()[0]} ({sys.executable})",
            f"python{oldest} dev.py ..., after installing it if need be",
        )
    if Path(sys.prefix) == ENVIRONMENT:
        raise Problem("the Python that .venv is made from", f"the one in .venv ({sys.executable})", "deactivate")


def provide_environment() -> None:
    """Make the environment, unless the one that is there is whole and up to date.

    The stamp is written last: an environment whose making was interrupted has none, and is made anew.
    """
    stamp, wanted = ENVIRONMENT / "stamp", fingerprint()
    # The interpreter it was made from may be gone, and the link to it dangle.
    if program("python", ENVIRONMENT) and stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted:
        return
    print("making .venv, which takes about a minute", flush=True)
    make_environment(ENVIRONMENT)
    stamp.write_text(wanted, encoding="utf-8")


def fingerprint() -> str:
    """A digest of all that decides what the environment is. The settings of tools in pyproject.toml do not."""
    import tomllib  # a Python too old has none, and is to be told so first

    pyproject = tomllib.loads(PYPROJECT.read_text(encoding="utf-8"))
    parts = [pyproject[table] for table in ("build-system", "project", "dependency-groups")]
    parts += [CONSTRAINTS.read_text(encoding="utf-8"), sys.version, sys.base_prefix, str(ROOT)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def make_environment(directory: Path, *, pinned: bool = True) -> None:
    """Make an environment from nothing, with the package in place and everything its developers need."""
    make_empty_environment(directory)
    constraint = ["--constraint", CONSTRAINTS.name] if pinned else []
    build_constraint = ["--build-constraint", CONSTRAINTS.name] if pinned else []
    # Dependency groups and constraints of the build came with later versions of pip than Python 3.11 has.
    pip(directory, "--upgrade", "pip", *constraint)
    pip(directory, "--group", "dev", "--editable", ".", *constraint, *build_constraint)
    pip(directory, "--group", "beside", "--no-deps", "--target", str(directory / "beside"))


def make_empty_environment(directory: Path) -> None:
    """Make an environment that has pip and nothing else."""
    venv = [sys.executable, "-m", "venv", "--clear"]
    if has_module("venv") and has_module("ensurepip"):
        setup(f"an environment in {directory}", [*venv, str(directory)])
    elif has_module("venv") and has_module("pip"):
        # Debian splits Python: there may be a pip that can install itself where ensurepip is missing.
        setup(f"an environment in {directory}", [*venv, "--without-pip", str(directory)])
        setup("pip", [sys.executable, "-m", "pip", "--python", str(directory), "install", "--quiet", "pip"])
    else:
        raise Problem(
            "the modules venv and ensurepip, which come with Python",
            f"a Python without them ({sys.executable})",
            "apt install python3-venv (on Debian and Ubuntu, as root)",
            "or run dev.py with another Python, for example one from python.org, pyenv or uv",
        )


def has_module(name: str) -> bool:
    """Whether this Python can import a module."""
    return importlib.util.find_spec(name) is not None


def pip(directory: Path, *arguments: str) -> None:
    """Install something into an environment, with pip as the developer has configured it."""
    command = [program("python", directory), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    setup("the packages of the environment", [*command, *arguments])


def setup(sought: str, command: list[str]) -> None:
    """Run a command that the environment cannot be made without."""
    status = subprocess.run(command, cwd=ROOT, check=False).returncode
    if status != 0:
        raise Problem(
            sought,
            f"exit status {status} of {shlex.join(command)}; its own message is above",
            "mend that (network, disk, index: `python3 -m pip config list`), and run this again",
        )


# Commands


def summarise(statuses: dict[str, int], passing: Container[int] = (0,)) -> int:
    """Say which commands passed, by exit status; gives 1 if any did not."""
    print()
    for name, status in statuses.items():
        print(f"{name}: {'passed' if status in passing else f'FAILED, exit status {status}'}", flush=True)
    return int(any(status not in passing for status in statuses.values()))


def run(command: list[str], **variables: str) -> int:
    """Run a program of the environment in the repository; gives its exit status."""
    shown = [*(f"{name}={value}" for name, value in variables.items()), shlex.join(command)]
    print("\n$", *shown, flush=True)
    path = os.pathsep.join([str(programs(ENVIRONMENT)), os.environ.get("PATH", os.defpath)])
    environ = {**os.environ, "VIRTUAL_ENV": str(ENVIRONMENT), "PATH": path, **variables}
    with subprocess.Popen([program(command[0], ENVIRONMENT), *command[1:]], cwd=ROOT, env=environ) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                # Ctrl-C goes to the program as well, which may have something to clean up.
                continue


def programs(environment: Path) -> Path:
    """Where an environment has its programs."""
    return environment / ("Scripts" if sys.platform == "win32" else "bin")


def program(name: str, environment: Path) -> str:
    """The path of a program of an environment; empty when it has none that can be run."""
    return shutil.which(name, path=str(programs(environment))) or ""


if __name__ == "__main__":
    sys.exit(main())
