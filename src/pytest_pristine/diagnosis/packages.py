"""Python, and the packages that a run is made of: there, and of versions that we work with."""

from __future__ import annotations

import importlib.metadata
import platform
import sys
from collections.abc import Callable, Iterator

from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding

OURS = "pytest-pristine"
# What the guide's line has besides us, and what people have beside it: the distribution, and what is missed without it.
_BESIDE = (
    ("pytest-cov", "the guide's line has --cov, which pytest does not know without it"),
    ("coverage", "pytest-cov measures with it"),
)
_WELCOME = ("pytest-xdist",)


def check(_: Context) -> Iterator[Finding]:
    """Look at Python, at ourselves, at what we require, and at what the guide's line asks for."""
    try:
        metadata = importlib.metadata.metadata(OURS)
    except importlib.metadata.PackageNotFoundError:
        yield findings.failed(OURS, "it is imported and not installed", f"pip install {OURS}")
        return
    yield judge_python(platform.python_version(), str(metadata["Requires-Python"] or ""))
    yield findings.ok(OURS, str(metadata["Version"]))
    for text in importlib.metadata.requires(OURS) or ():
        finding = judge(Requirement(text), version)
        if finding is not None:
            yield finding
    for name, reason in _BESIDE:
        yield _beside(name, reason)
    yield from (findings.ok(name, found) for name in _WELCOME if (found := version(name)) is not None)


def version(name: str) -> str | None:
    """The version of a distribution that is installed; None when it is not."""
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def judge_python(found: str, wanted: str) -> Finding:
    """What to say of a version of Python, given the versions that the package wants."""
    where = f"{found} ({sys.executable})"
    if SpecifierSet(wanted).contains(found, prereleases=True):
        return findings.ok("Python", where)
    return findings.failed("Python", f"{where}, and Python {wanted} is needed", "make an environment of such a Python")


def judge(requirement: Requirement, installed: Callable[[str], str | None]) -> Finding | None:
    """What to say of something that we require; None when this machine, or what is installed, has no need of it.

    Args:
        requirement: From our metadata.
        installed: Gives the version of a distribution, None when it is not installed.
    """
    name, found = requirement.name, installed(requirement.name)
    marker = requirement.marker
    needed = marker is None or marker.evaluate({"extra": ""})
    wanted = f"{name}{_extras(requirement)}{requirement.specifier}"
    if found is None:
        if needed:
            return findings.failed(name, "not installed", f'pip install "{wanted}"')
        return findings.ok(name, "not installed, and optional") if "extra" in str(marker) else None
    if not requirement.specifier.contains(found, prereleases=True):
        return findings.failed(name, f"{found}, and {requirement.specifier} is needed", f'pip install "{wanted}"')
    return findings.ok(name, found)


def _beside(name: str, reason: str) -> Finding:
    found = version(name)
    if found is not None:
        return findings.ok(name, found)
    return findings.warning(name, f"not installed: {reason}", f"pip install {name}")


def _extras(requirement: Requirement) -> str:
    return f"[{','.join(sorted(requirement.extras))}]" if requirement.extras else ""
