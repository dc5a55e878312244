"""The port of the guide: free, ours, or somebody else's."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import ServerError, UnreachableError
from pytest_pristine.postgres import connections, urls
from pytest_pristine.servers import home, up
from pytest_pristine.servers.cluster import LOOPBACK

# The user, the password and the database of the guide's `docker run`.
_GUIDE = URL.create("postgresql+psycopg", "appapp", "appapp", "localhost", database="appapp_test")
_ORIGIN = "the guide's default"


def check(context: Context) -> Iterator[Finding]:
    """Look who listens."""
    subject = f"port {context.port}"
    for server in up.servers(home.locate(context.settings.home)):
        if server.port == context.port and server.pid is not None:
            yield _ours(subject, server)
            return
    try:
        operating_system.check_port_free(LOOPBACK, context.port)
    except PermissionError as error:
        yield findings.warning(subject, f"we may not listen there: {error.strerror}", "choose another: --port")
    except OSError:
        yield _taken(subject, context.port)
    else:
        yield findings.ok(subject, "free; pristine up would listen there")


def _ours(subject: str, server: up.Running) -> Finding:
    found = f"pristine up, at {urls.show(server.url)} (pid {server.pid})"
    if connections.answers(server.url):
        return findings.ok(subject, found)
    again = f"pristine down --port {server.port}; pristine up --port {server.port}"
    return findings.failed(subject, f"{found}, which does not answer", again)


def _taken(subject: str, port: int) -> Finding:
    """Somebody listens: a Postgres that is the guide's, another one, or something else."""
    url = _GUIDE.set(port=port)
    who = operating_system.listener(port) or "a program that the system does not name"
    remedies = (f"stop {who}", "or choose another port: pristine up --port …, and name it in TEST_DATABASE_URL")
    try:
        connections.connect_or_explain(url, "doctor", _ORIGIN).close()
    except UnreachableError:
        return findings.warning(subject, f"taken by {who}, which is no Postgres that answers", *remedies)
    except ServerError as error:
        return findings.warning(subject, f"taken by {who}, a Postgres and not the guide's: {error.found}", *remedies)
    return findings.ok(subject, f"a Postgres answers {_ORIGIN} URL: {urls.show(url)}; set TEST_DATABASE_URL to use it")
