"""Why no connection could be had where nobody let us in: who is there instead, or what of TLS does not fit."""

from __future__ import annotations

import psycopg
from psycopg import pq
from sqlalchemy.engine import URL

from pytest_pristine.errors import ServerError, TlsError, UnreachableError
from pytest_pristine.postgres import handshake, urls
from pytest_pristine.postgres.handshake import Kind

# Hosts at which `pristine up` can start a server.
_THIS_MACHINE = ("localhost", "127.0.0.1")
# Values of `sslmode` that take no connection without TLS.
_ENCRYPTED = ("require", "verify-ca", "verify-full")


def explain(url: URL, sought: str, origin: str, error: psycopg.OperationalError) -> ServerError | None:
    """Tell who is there that lets nobody in; None when a Postgres is, and none of this is the reason.

    Args:
        url: Where the connection was to go.
        sought: The same for people.
        origin: Which setting named it.
        error: What was said.
    """
    said = urls.redact(str(error).strip(), url)
    parameters = _effective(url, error)
    host, port = parameters.get("host", ""), parameters.get("port") or "5432"
    answer = handshake.ask(host, port)
    if answer.kind is Kind.OTHER:
        found = f"something at port {port} that is no Postgres; it says {answer.said!r}"
        return UnreachableError(sought, found, [f"correct host and port in {origin}"])
    if answer.kind not in (Kind.TLS, Kind.PLAIN):
        return UnreachableError(sought, said, [_start(url), f"or remove {origin}: a server is then found or started"])
    if parameters.get("sslmode") in _ENCRYPTED:
        found, *remedies = _fault(answer.kind, host, port, parameters, origin)
        if found:
            return TlsError(sought, found, remedies)
    if isinstance(error, psycopg.errors.ConnectionTimeout):
        found = f"a server that takes the connection, and does not answer on it: {said}"
        remedy = "if a connection pooler is in between: start the server behind it, or let it have more sessions"
        return UnreachableError(sought, found, [remedy])
    if parameters.get("sslmode") in _ENCRYPTED:
        remedy = f"correct sslcert, sslkey and what else it says in {origin}"
        return TlsError(sought, f"a server with TLS that gives no connection: {said}", [remedy])
    return None


def _fault(kind: Kind, host: str, port: str, parameters: dict[str, str], origin: str) -> tuple[str, ...]:
    """What of the server's TLS is not as it was asked for, and what to do; empty texts when nothing is found."""
    if kind is Kind.PLAIN:
        return (
            f"a server without TLS, which sslmode={parameters['sslmode']} asks for",
            "have the server speak TLS: ssl = on in postgresql.conf",
            f"or, where nobody can listen: sslmode=disable in {origin}",
        )
    fault = handshake.fault_of_certificate(host, port, parameters)
    return ("",) if fault is None else (fault.found, fault.remedy)


def _effective(url: URL, error: psycopg.OperationalError) -> dict[str, str]:
    """The parameters of a connection that failed, with those from the environment, a service file, and defaults."""
    defaults = {option.keyword: option.val for option in pq.Conninfo.get_defaults() if option.val is not None}
    parameters = {key.decode(): value.decode() for key, value in defaults.items()}
    parameters |= {key: str(value) for key, value in urls.conninfo(url).items()}
    if error.pgconn is not None:
        # What a service file says is known to the connection alone.
        parameters |= {"host": error.pgconn.host.decode(), "port": error.pgconn.port.decode()}
    return parameters


def _start(url: URL) -> str:
    """How to have a server at an address."""
    if url.host is None:
        return "start the server there, or correct the address"
    if url.host not in _THIS_MACHINE:
        return f"start the server on {url.host}, or correct the address"
    port, user = url.port or 5432, url.username or "postgres"
    return f"start a server there: pristine up --port {port} --user {user} --password … --db {url.database}"
