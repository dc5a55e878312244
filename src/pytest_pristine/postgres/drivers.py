"""The drivers of Postgres that SQLAlchemy has, and how each of them is told what a URL says.

Inside, a URL has the parameters of libpq, whatever its driver; at the edges it is written as the driver wants it.
"""

from __future__ import annotations

import importlib.util
import re
import ssl
import sys
from collections.abc import Mapping
from urllib.parse import parse_qsl, urlencode, urlsplit

from psycopg import pq
from sqlalchemy.engine import URL

from pytest_pristine.errors import DriverError

PSYCOPG, PSYCOPG2, ASYNCPG, PG8000 = "psycopg", "psycopg2", "asyncpg", "pg8000"
# Those of plain engines, and those of asynchronous ones.
SYNCHRONOUS, ASYNCHRONOUS = (PSYCOPG, PSYCOPG2, PG8000), (PSYCOPG, ASYNCPG)
_LIBPQ = (PSYCOPG, PSYCOPG2)
# What installs them, where it is not their name.
_DISTRIBUTIONS = {PSYCOPG: "psycopg[binary]", PSYCOPG2: "psycopg2-binary"}
# Names that SQLAlchemy has for one of them.
_ALIASES = {"psycopg_async": PSYCOPG}

# What other drivers than libpq's take, or SQLAlchemy for them, and libpq does not know.
_FOREIGN = {
    ASYNCPG: {
        "async_fallback", "command_timeout", "direct_tls", "max_cacheable_statement_size",
        "max_cached_statement_lifetime", "prepared_statement_cache_size", "prepared_statement_name_func",
        "server_settings", "ssl", "statement_cache_size", "timeout",
    },
    PG8000: {"source_address", "ssl_context", "startup_params", "tcp_keepalive", "timeout", "unix_sock"},
    PSYCOPG: {"prepare_threshold"},
}  # fmt: skip
_FOREIGN_TO_LIBPQ = frozenset().union(*_FOREIGN.values())
# What asyncpg takes by itself of the parameters of libpq, in a URL of SQLAlchemy.
_OF_ASYNCPG = ("host", "port", "passfile", "service", "target_session_attrs", "krbsrvname")
# What only libpq can do anything with: the rest is told to the server.
_OF_LIBPQ = frozenset({
    "channel_binding", "client_encoding", "connect_timeout", "fallback_application_name", "gssdelegation", "gssencmode",
    "hostaddr", "keepalives", "keepalives_count", "keepalives_idle", "keepalives_interval", "load_balance_hosts",
    "require_auth", "requirepeer", "sslcertmode", "sslcompression", "sslcrldir", "sslsni", "tcp_user_timeout",
})  # fmt: skip
_SOCKET = re.compile(r"(?P<directory>.*)/\.s\.PGSQL\.(?P<port>\d+)")


def of(url: URL) -> str:
    """The driver that a URL names; psycopg where it names none."""
    named = url.drivername.partition("+")[2]
    return _ALIASES.get(named, named) or PSYCOPG


def synchronous(url: URL) -> str:
    """The driver of a plain engine: that of the URL, or psycopg in the place of one that works with asyncio alone."""
    return PSYCOPG if of(url) == ASYNCPG else of(url)


def asynchronous(url: URL, wanted: str | None = None) -> str:
    """The driver of an asynchronous engine: the one wanted, or that of the URL, or psycopg, which is always there."""
    return wanted or (ASYNCPG if of(url) == ASYNCPG else PSYCOPG)


def check_installed(driver: str) -> None:
    """Check that a driver can be imported.

    Raises:
        DriverError: It cannot.
    """
    if importlib.util.find_spec(driver) is None:
        raise DriverError(
            f"the driver {driver}",
            f"no such module for {sys.executable}",
            [f'pip install "{_DISTRIBUTIONS.get(driver, driver)}"', "or name another: postgresql+psycopg://"],
        )


def canonical(url: URL) -> URL:
    """The URL with the parameters of libpq for what its driver has names of its own for."""
    driver, query = of(url), dict(url.query)
    if driver == ASYNCPG:
        more = dict(parse_qsl(urlsplit(_text(query.pop("dsn", ""))).query))
        query = {**more, **query}
        _rename(query, "ssl", "sslmode")
        _rename(query, "timeout", "connect_timeout")
    if driver == PG8000:
        found = _SOCKET.fullmatch(_text(query.get("unix_sock", "")))
        if found is not None:
            del query["unix_sock"]
            query["host"] = found["directory"]
            url = url.set(port=int(found["port"]))
    return url.set(query=query)


def for_libpq(url: URL) -> dict[str, str]:
    """The parameters of a URL that are libpq's. One that nobody knows is among them, for libpq to refuse."""
    query = canonical(url).query
    foreign = _FOREIGN_TO_LIBPQ if of(url) not in _LIBPQ else _FOREIGN[PSYCOPG]
    return {
        name: value if isinstance(value, str) else ",".join(value)
        for name, value in query.items()
        if name not in foreign
    }


def url_for(driver: str, url: URL) -> URL:
    """The URL as SQLAlchemy wants it for a driver, as far as it can be said in a URL; `arguments` has the rest."""
    found = canonical(url)
    kept = _FOREIGN.get(driver, set()) if of(url) == driver else set()
    query = {name: value for name, value in found.query.items() if name not in _FOREIGN_TO_LIBPQ or name in kept}
    named = found.set(drivername=f"postgresql+{driver}", query=query)
    if driver == ASYNCPG:
        return named.set(query=_for_asyncpg(query))
    return _for_pg8000(named) if driver == PG8000 else named


def plain(url: URL) -> URL:
    """The URL as libpq has it, and as all drivers take it that take a URL: without the name of a driver."""
    parameters: dict[str, str | tuple[str, ...]] = {**for_libpq(url)}
    found = url.set(drivername="postgresql", query=parameters, port=canonical(url).port)
    if found.host is not None or found.port is None:
        return found
    # Beside a socket's directory a port stands where every driver looks for it.
    return found._replace(port=None).update_query_dict({"port": str(found.port)})


def arguments(driver: str, url: URL) -> dict[str, object]:
    """What a driver must be told of a URL besides `url_for`."""
    query = for_libpq(url)
    if driver == ASYNCPG:
        return {"timeout": float(query["connect_timeout"])} if "connect_timeout" in query else {}
    if driver != PG8000:
        return {}
    settings = {name: value for name, value in query.items() if _is_setting(name)}
    found: dict[str, object] = {"startup_params": settings} if settings else {}
    if query.get("host", "").startswith("/"):
        return {**found, "ssl_context": False}
    return {**found, "ssl_context": _ssl_context(query)} if "sslmode" in query else found


def _rename(query: dict[str, str | tuple[str, ...]], name: str, other: str) -> None:
    if name in query:
        query.setdefault(other, query[name])
        del query[name]


def _text(value: str | tuple[str, ...]) -> str:
    return value if isinstance(value, str) else value[-1]


def _for_asyncpg(query: Mapping[str, str | tuple[str, ...]]) -> dict[str, str | tuple[str, ...]]:
    """What it does not take by itself it reads in a URL of its own, as libpq does."""
    own = {name: value for name, value in query.items() if name in _OF_ASYNCPG or name in _FOREIGN[ASYNCPG]}
    others = {name: value for name, value in query.items() if name not in own and name not in _OF_LIBPQ and value}
    if set(others) == {"sslmode"}:
        return {**own, "ssl": others["sslmode"]}
    return {**own, "dsn": f"postgresql:///?{urlencode(others, doseq=True)}"} if others else own


def _for_pg8000(url: URL) -> URL:
    """It takes one host, and a few parameters."""
    directory = _text(url.query.get("host", ""))
    query = {name: value for name, value in url.query.items() if name in _FOREIGN[PG8000] or name == "application_name"}
    if directory.startswith("/"):
        return url.set(query={**query, "unix_sock": f"{directory}/.s.PGSQL.{url.port or 5432}"})
    return url.set(query=query, host=directory.partition(":")[0] or url.host)


def _is_setting(name: str) -> bool:
    """Whether a parameter is the server's to read when a session begins."""
    known = {option.keyword.decode() for option in pq.Conninfo.get_defaults()}
    return name == "options" or name not in known


def _ssl_context(query: Mapping[str, str]) -> object:
    """What pg8000 takes for an sslmode of libpq: whether to encrypt, and whom to trust."""
    mode = query["sslmode"]
    if mode in ("disable", "allow", "prefer"):
        return False if mode == "disable" else None
    roots = query.get("sslrootcert")
    context = ssl.create_default_context(cafile=None if roots == "system" else roots)
    context.check_hostname = mode == "verify-full"
    if mode == "require" and "sslrootcert" not in query:
        context.verify_mode = ssl.CERT_NONE
    if "sslcert" in query:
        context.load_cert_chain(query["sslcert"], query.get("sslkey"), query.get("sslpassword"))
    return context
