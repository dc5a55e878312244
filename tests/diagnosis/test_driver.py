"""The driver and what reaches libpq."""

from __future__ import annotations

import pytest

from tests.conftest import Project
from tests.diagnosis.conftest import PASSWORD, doctor


def test_the_driver(project: Project) -> None:
    """Implementation and libpq of psycopg are told, and nothing else where nothing is set."""
    report = doctor(project)
    (finding,) = report.of("driver")
    assert finding["level"] == "ok"
    assert finding["found"].startswith("psycopg 3.")
    assert ", implementation binary, libpq 1" in finding["found"]


def test_the_slow_implementation(project: Project) -> None:
    """The implementation in Python is warned of where it can be used, and has failed where it cannot."""
    finding = doctor(project, PSYCOPG_IMPL="python").of("driver")[0]
    if finding["level"] == "warning":
        assert "implementation python" in finding["found"]
        assert finding["remedy"] == ['pip install "psycopg[binary]"']
    else:  # the system has no libpq
        assert finding["level"] == "failed"
        assert "no pq wrapper available" in finding["found"]


@pytest.mark.parametrize(
    ("driver", "level", "found", "remedy"),
    [
        ("", "ok", "postgresql+psycopg (TEST_DATABASE_URL)", None),
        ("+psycopg", "ok", "postgresql+psycopg (TEST_DATABASE_URL)", None),
        (
            "+pg8000",
            "failed",
            "postgresql+pg8000 (TEST_DATABASE_URL), which cannot be imported: No module named 'pg8000'",
            'pip install "pg8000"',
        ),
        (
            "+psycopg2",
            "failed",
            "postgresql+psycopg2 (TEST_DATABASE_URL), which cannot be imported: No module named 'psycopg2'",
            'pip install "psycopg2-binary"',
        ),
        (
            "+nosuch",
            "failed",
            "postgresql+nosuch (TEST_DATABASE_URL), which SQLAlchemy does not know",
            "name a driver that it knows in TEST_DATABASE_URL, or none: postgresql://…",
        ),
    ],
)
def test_the_driver_of_a_url(project: Project, driver: str, level: str, found: str, remedy: str | None) -> None:
    """The driver that a URL names must be installed."""
    for name in ("pg8000", "psycopg2"):
        project.write(f"without/{name}.py", f"raise ModuleNotFoundError(\"No module named '{name}'\")\n")
    url = f"postgresql{driver}://u:{PASSWORD}@localhost:1/d"
    report = doctor(project, TEST_DATABASE_URL=url, PYTHONPATH=str(project.path / "without"))
    told = report.tell("driver", "driver of the URL")
    assert told[:2] == (level, found)
    assert (told[2] or [None])[0] == remedy


def test_the_drivers_of_settings(project: Project) -> None:
    """A driver that a setting names, or a variable of the application, must be installed as well."""
    for name in ("pg8000", "asyncpg"):
        project.write(f"without/{name}.py", f"raise ModuleNotFoundError(\"No module named '{name}'\")\n")
    report = doctor(
        project,
        PRISTINE_DRIVER="pg8000",
        PRISTINE_ASYNC_DRIVER="psycopg",
        PRISTINE_EXPORT="A=postgresql,B=host,DATABASE_URL=postgresql+asyncpg",
        PYTHONPATH=str(project.path / "without"),
    )
    assert report.tell("driver", "driver of postgres_engine") == (
        "failed",
        "postgresql+pg8000 (PRISTINE_DRIVER), which cannot be imported: No module named 'pg8000'",
        ['pip install "pg8000"', "or name no driver in PRISTINE_DRIVER: leave it empty"],
    )
    told = report.tell("driver", "driver of postgres_async_engine")
    assert told == ("ok", "postgresql+psycopg (PRISTINE_ASYNC_DRIVER)", [])
    assert report.tell("driver", "driver of DATABASE_URL") == (
        "failed",
        "postgresql+asyncpg (PRISTINE_EXPORT), which cannot be imported: No module named 'asyncpg'",
        ['pip install "asyncpg"', "or name no driver in PRISTINE_EXPORT: DATABASE_URL = postgresql"],
    )
    assert not [each for each in report.of("driver") if each["subject"] in ("driver of A", "driver of B")]


def test_variables_of_libpq(project: Project) -> None:
    """Variables that change where or how everybody connects are warned of; those that a URL overrules are named."""
    report = doctor(project, PGSERVICE="x", PGOPTIONS="-c a=b", PGTZ="UTC", PGUSER="me", PGPASSWORD=PASSWORD, PGHOST="")
    for name in ("PGOPTIONS", "PGSERVICE", "PGTZ"):
        assert report.tell("driver", name) == (
            "warning", "set, and libpq obeys it in every connection, the tests' too", [f"unset {name}"],
        )  # fmt: skip
    assert report.tell("driver", "variables of libpq") == ("ok", "PGPASSWORD, PGUSER, for what a URL leaves out", [])
