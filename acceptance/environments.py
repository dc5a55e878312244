"""Virtual environments of the projects, made with venv and pip and kept until what goes into them changes."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path

from filelock import FileLock

REPOSITORY = Path(__file__).resolve().parent.parent
CACHE = REPOSITORY / ".acceptance"
# What the product's wheel is built from.
_PRODUCT = ("pyproject.toml", "README.md", "CHANGELOG.md", "LICENSE", "src")
# Seconds for one call of pip: Airflow has 120 packages, and a mirror may be slow.
_PIP_SECONDS = 1800


def provide(project: Path) -> Path:
    """The Python of a project's environment, made or brought up to date if need be.

    Args:
        project: Holds `requirements.txt` and `constraints.txt`.
    """
    directory = CACHE / project.name
    CACHE.mkdir(exist_ok=True)
    with FileLock(CACHE / f"{project.name}.lock"):
        _install_requirements(directory, project)
        _install_product(directory, project)
    return _python(directory)


def _install_requirements(directory: Path, project: Path) -> None:
    requirements, constraints = project / "requirements.txt", project / "constraints.txt"
    stamp = directory / "requirements.stamp"
    digest = _digest([requirements, constraints], sys.version)
    if _holds(stamp, digest):
        return
    shutil.rmtree(directory, ignore_errors=True)
    subprocess.run([sys.executable, "-m", "venv", str(directory)], check=True)
    _pip(directory, "install", "-r", str(requirements), "-c", str(constraints))
    stamp.write_text(digest)


def _install_product(directory: Path, project: Path) -> None:
    """Install the product as its users get it: as a wheel, not as a link to this checkout."""
    stamp = directory / "product.stamp"
    digest = _digest(_files(REPOSITORY / name for name in _PRODUCT))
    if _holds(stamp, digest):
        return
    stamp.unlink(missing_ok=True)
    # The version stays the same from one change to the next.
    _pip(directory, "uninstall", "--yes", "pytest-pristine")
    constraints = str(project / "constraints.txt")
    _pip(directory, "install", "--no-build-isolation", "-c", constraints, str(REPOSITORY))
    stamp.write_text(digest)


def _pip(directory: Path, *arguments: str) -> None:
    command = [str(_python(directory)), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=_PIP_SECONDS)


def _python(directory: Path) -> Path:
    return directory / "Scripts" / "python.exe" if os.name == "nt" else directory / "bin" / "python"


def _holds(stamp: Path, digest: str) -> bool:
    return stamp.is_file() and stamp.read_text() == digest


def _files(paths: Iterable[Path]) -> list[Path]:
    """The files among and below the paths, compiled Python left out."""
    found = [below for path in paths for below in (path.rglob("*") if path.is_dir() else [path])]
    return sorted(path for path in found if path.is_file() and path.suffix != ".pyc")


def _digest(files: Iterable[Path], *texts: str) -> str:
    digest = hashlib.sha256("\0".join(texts).encode())
    for path in files:
        digest.update(f"\0{path.relative_to(REPOSITORY).as_posix()}\0".encode() + path.read_bytes())
    return digest.hexdigest()
