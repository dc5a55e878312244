"""The driver: psycopg's implementation and its libpq, the drivers of URLs, and variables that reach libpq."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import psycopg
from psycopg import pq

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import DriverError, NotAPostgresUrlError
from pytest_pristine.postgres import named_drivers, urls
from pytest_pristine.postgres.named_drivers import Driver

# What libpq takes from these is only what a URL leaves out, or changes nothing but a name.
_HARMLESS = frozenset({
    "PGHOST", "PGPORT", "PGDATABASE", "PGUSER", "PGPASSWORD", "PGPASSFILE", "PGAPPNAME", "PGCONNECT_TIMEOUT",
    "PGCLIENTENCODING",
})  # fmt: skip
# Those that libpq itself sends to the server, and does not list.
_OF_SESSIONS = ("PGTZ", "PGDATESTYLE", "PGGEQO")


def check(context: Context) -> Iterator[Finding]:
    """Look at psycopg, at the drivers that the URL and the settings name, and at the environment."""
    yield _implementation()
    if context.settings.url.value is not None:
        yield of_url(context.settings.url.value, context.settings.url.origin)
    yield from map(_of, named_drivers.of_settings(context.settings))
    yield from variables(context.environ)


def _implementation() -> Finding:
    found = f"psycopg {psycopg.__version__}, implementation {pq.__impl__}, libpq {_version(pq.version())}"
    if pq.__impl__ == "python":
        slow = "which calls the system's libpq from Python: it works, and is slow"
        return findings.warning("psycopg", f"{found}, {slow}", 'pip install "psycopg[binary]"')
    return findings.ok("psycopg", found)


def _version(number: int) -> str:
    """The version of libpq for people: 180001 is 18.1."""
    return f"{number // 10000}.{number % 10000}"


def of_url(text: str, origin: str) -> Finding:
    """Whether the driver that a URL names can be imported."""
    try:
        url = urls.parse(text, origin)
    except NotAPostgresUrlError as error:
        return findings.of_error("driver of the URL", error)
    return _of(named_drivers.of_url(url, origin))


def _of(driver: Driver) -> Finding:
    try:
        driver.check()
    except DriverError as error:
        return findings.failed(driver.subject, error.found, *error.remedy)
    return findings.ok(driver.subject, str(driver))


def variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """What libpq takes from the environment, for every connection and whatever its URL says."""
    listed = (option.envvar.decode() for option in pq.Conninfo.get_defaults() if option.envvar)
    names = [name for name in sorted({*listed, *_OF_SESSIONS}) if environ.get(name)]
    harmless = [name for name in names if name in _HARMLESS]
    if harmless:
        yield findings.ok("variables of libpq", f"{', '.join(harmless)}, for what a URL leaves out")
    for name in names:
        if name not in _HARMLESS:
            yield findings.warning(name, "set, and libpq obeys it in every connection, the tests' too", f"unset {name}")
