"""The wheel and the sdist: the product, whole, and nothing else."""

from __future__ import annotations

import email
import email.message
import os
import subprocess
import sys
import sysconfig
import tarfile
import zipfile
from configparser import ConfigParser
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "src" / "pytest_pristine"
# It takes the SQLite guard into processes of Python that tests start, and lies in site-packages itself.
WATCH = "pytest_pristine_watch.pth"


@dataclass(frozen=True)
class Distributions:
    """What `python -m build` made.

    Attributes:
        wheel: Every file of the wheel, by its path.
        sdist: Every file of the sdist, by its path below the sdist's one directory.
    """

    wheel: dict[str, bytes]
    sdist: dict[str, bytes]

    def of_wheel(self, name: str) -> str:
        """The text of a file in the wheel's dist-info directory."""
        (path,) = (path for path in self.wheel if path.endswith(f".dist-info/{name}"))
        return self.wheel[path].decode()

    def metadata(self) -> email.message.Message:
        """The wheel's metadata."""
        return email.message_from_string(self.of_wheel("METADATA"))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Distributions:
    """The sdist built from the repository, and the wheel built from that sdist."""
    directory = tmp_path_factory.mktemp("dist")
    # Without isolation: hatchling is installed, in the version that constraints.txt pins.
    command = [sys.executable, "-m", "build", "--no-isolation", "--outdir", str(directory), str(ROOT)]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr
    (wheel,), (sdist,) = directory.glob("*.whl"), directory.glob("*.tar.gz")
    return Distributions(_read_wheel(wheel), _read_sdist(sdist))


def _read_wheel(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def _read_sdist(path: Path) -> dict[str, bytes]:
    with tarfile.open(path) as archive:
        return {
            PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix(): file.read()
            for member in archive
            if (file := archive.extractfile(member)) is not None
        }


def _product() -> set[str]:
    """The files of the package, as paths below `src`."""
    files = (path for path in SOURCE.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(SOURCE.parent).as_posix() for path in files}


def test_wheel_is_the_package(built: Distributions) -> None:
    """The wheel holds every file of the package, type marker included, and one more for site-packages."""
    package = {name for name in built.wheel if ".dist-info/" not in name}
    assert package == _product() | {WATCH}
    assert "pytest_pristine/py.typed" in package


def test_the_line_that_each_python_runs(built: Distributions) -> None:
    """The wheel's .pth file is one line, which imports nothing of ours unless it is told to by the environment."""
    line = built.wheel[WATCH].decode()
    assert line.count("\n") == 1
    assert line.startswith('import os; "PRISTINE_SQLITE_WATCH" in os.environ and ')
    script = "import sys; print([name for name in sys.modules if name.startswith('pytest_pristine')])"
    environ = {name: value for name, value in os.environ.items() if name != "PRISTINE_SQLITE_WATCH"}
    done = subprocess.run([sys.executable, "-c", script], env=environ, capture_output=True, text=True, check=True)
    assert (done.stdout, done.stderr) == ("[]\n", "")


def test_an_installation_in_place_has_it_too() -> None:
    """The environment of the developers, where the package is installed in place, has the line."""
    installed = Path(sysconfig.get_path("purelib")) / WATCH
    assert installed.read_bytes() == (ROOT / "src" / WATCH).read_bytes()


def test_sdist_is_the_package_and_its_papers(built: Distributions) -> None:
    """The sdist holds the package, what a build needs and what a reader wants: no backend, tests or benchmarks."""
    papers = {"README.md", "CHANGELOG.md", "LICENSE", "pyproject.toml"}
    # Added by the format and by the build backend.
    added = {"PKG-INFO", ".gitignore"}
    assert set(built.sdist) - added == {f"src/{name}" for name in _product() | {WATCH}} | papers


def test_licence_comes_along(built: Distributions) -> None:
    """The metadata names the licence, and the wheel carries its text."""
    assert built.metadata()["License-Expression"] == "MIT"
    assert built.of_wheel("licenses/LICENSE") == (ROOT / "LICENSE").read_text(encoding="utf-8")


def test_readme_is_the_description(built: Distributions) -> None:
    """The page of the package index is the README."""
    metadata = built.metadata()
    assert metadata["Description-Content-Type"] == "text/markdown"
    assert metadata.get_payload() == (ROOT / "README.md").read_text(encoding="utf-8")


def test_entry_points(built: Distributions) -> None:
    """Installing the wheel gives pytest the plugin and the shell the command."""
    points = ConfigParser()
    points.read_string(built.of_wheel("entry_points.txt"))
    assert {section: dict(points[section]) for section in points.sections()} == {
        "console_scripts": {"pristine": "pytest_pristine.cli:main"},
        "pytest11": {"pristine": "pytest_pristine.plugin"},
    }
