"""TLS: what the URL asks for is had in every connection of a run, or the run says why not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest
import sqlalchemy

from pytest_pristine.errors import AuthenticationError, PristineError, RefusedError, TlsError
from pytest_pristine.postgres import engines
from tests.network.conftest import CERTIFIED, LIFE, MD5, TRUSTED, role_called
from tests.servers.conftest import text

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

    from tests.conftest import Project
    from tests.network.conftest import Backend
    from tests.servers.conftest import Resolve

# What a project adds to its tests and migrations, to see how they are connected.
_SEEN = """
def test_encrypted(postgres_engine):
    with postgres_engine.connect() as connection:
        asked = text("SELECT ssl::text FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        assert connection.execute(asked).scalar_one() == "true"
        asked = text("SELECT string_agg(ssl::text, ',') FROM seen_by_migrations")
        assert connection.execute(asked).scalar_one() == "true"
"""
_REVISION = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("CREATE TABLE seen_by_migrations AS SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
"""


def asking(url: URL, **parameters: object) -> URL:
    """The database by the name that the server's certificate has, with parameters of libpq."""
    return url.set(host="localhost").update_query_dict({name: str(value) for name, value in parameters.items()})


def refused(resolve: Resolve, url: URL, kind: type[PristineError] = TlsError) -> PristineError:
    """The refusal of a server; it never shows the password."""
    with pytest.raises(kind) as caught:
        resolve(TEST_DATABASE_URL=text(url))
    assert str(url.password) not in str(caught.value)
    return caught.value


def lives(project: Project, url: URL) -> None:
    """Every connection of a run is encrypted, and the run does all that a run does."""
    project.write("test_users.py", LIFE)
    with (project.path / "test_users.py").open("a", encoding="utf-8") as file:
        file.write(_SEEN)
    project.write("migrations/versions/0002_seen.py", _REVISION)
    run = project.run("--log-cli-level=DEBUG", "-l", TEST_DATABASE_URL=text(url))
    assert (run.status, "4 passed" in run.output, " instead" in run.output) == (0, True, False), run.output
    assert str(url.password) not in run.output


def test_a_life_with_verified_certificates(project: Project, backend: Backend, owned: URL) -> None:
    """With the authority's certificate, and the login bound to the channel, a whole run is encrypted."""
    roots = backend.certificates.crt("authority")
    lives(project, asking(owned, sslmode="verify-full", sslrootcert=roots, channel_binding="require"))


def test_a_life_with_a_client_certificate(project: Project, backend: Backend) -> None:
    """A role that logs in by certificate and key, without a password, does all that a run does."""
    made = backend.certificates
    with role_called(backend, CERTIFIED, "Sesam-unused") as role:
        own = {"sslcert": made.crt("client"), "sslkey": made.key("client")}
        lives(project, asking(role, sslmode="verify-ca", sslrootcert=made.crt("authority"), **own))


@pytest.mark.parametrize("mode", ["require", "verify-ca", "verify-full"])
def test_an_authority_that_did_not_sign(resolve: Resolve, backend: Backend, owned: URL, mode: str) -> None:
    """A server that another authority vouches for is refused, whatever of it was to be verified."""
    roots = backend.certificates.crt("stranger")
    error = refused(resolve, asking(owned, sslmode=mode, sslrootcert=roots))
    assert error.found.startswith(f"a certificate that no authority in {roots} has signed: self-signed certificate")
    assert error.remedy == ("name the file with the certificate of the server's authority: sslrootcert=… in the URL",)


def test_the_list_of_the_system(resolve: Resolve, owned: URL) -> None:
    """A server whose authority the system does not know is refused where the system's list is to be used."""
    error = refused(resolve, asking(owned, sslmode="verify-full", sslrootcert="system"))
    assert error.found.startswith("a certificate that no authority in the list of this system has signed")


def test_no_authority(resolve: Resolve, owned: URL) -> None:
    """A file of authorities that is not there is named, with what to set."""
    error = refused(resolve, asking(owned, sslmode="verify-full", sslrootcert="/nowhere/root.crt"))
    assert error.found == (
        "no certificates of authorities to verify it with in /nowhere/root.crt: No such file or directory"
    )
    assert "sslrootcert=… in the URL" in error.remedy[0]


def test_another_host(resolve: Resolve, backend: Backend, owned: URL) -> None:
    """A certificate of another host is refused, with both ways out."""
    url = asking(owned, sslmode="verify-full", sslrootcert=backend.certificates.crt("authority"))
    error = refused(resolve, url.set(host="127.0.0.1"))
    assert error.found == "a certificate for another host than '127.0.0.1'"
    assert error.remedy == (
        "name the host as the certificate does; or sslmode=verify-ca, which takes any host of that authority",
    )


def test_an_expired_certificate(resolve: Resolve, backend: Backend, owned: URL) -> None:
    """A certificate that has expired is refused for that reason, which libpq does not tell."""
    made = backend.certificates
    with backend.configured(ssl_cert_file=str(made.crt("expired")), ssl_key_file=str(made.key("expired"))):
        error = refused(resolve, asking(owned, sslmode="verify-ca", sslrootcert=made.crt("authority")))
    assert error.found == "a certificate that is not valid today: certificate has expired"
    assert error.remedy == ("renew the server's certificate, or set this machine's clock",)


def test_a_server_without_tls(project: Project, backend: Backend, owned: URL) -> None:
    """A server that speaks no TLS ends a run that asks for it, with both ways out."""
    with backend.configured(ssl="off"):
        run = project.run(TEST_DATABASE_URL=text(asking(owned, sslmode="require")))
    assert run.status == pytest.ExitCode.USAGE_ERROR
    assert "found: a server without TLS, which sslmode=require asks for" in run.message()
    assert "to do: have the server speak TLS: ssl = on in postgresql.conf" in run.message()
    assert "to do: or, where nobody can listen: sslmode=disable in TEST_DATABASE_URL" in run.message()
    for word in ("passed", "Traceback", str(owned.password)):
        assert word not in run.output


def test_channel_binding_without_tls(resolve: Resolve, owned: URL) -> None:
    """A login that is to be bound to a channel that there is not is refused."""
    error = refused(resolve, asking(owned, sslmode="disable", channel_binding="require"), RefusedError)
    assert "channel binding required, but SSL not in use" in error.found


def test_certificates_of_clients_that_do_not_open(resolve: Resolve, backend: Backend) -> None:
    """No client certificate, one of another name and one of another authority are refused in the server's words."""
    made = backend.certificates
    with role_called(backend, CERTIFIED, "Sesam-unused") as role:
        none = refused(resolve, asking(role, sslmode="require"), RefusedError)
        assert "connection requires a valid client certificate" in none.found
        other = {"sslcert": made.crt("server"), "sslkey": made.key("server")}
        error = refused(resolve, asking(role, sslmode="require", **other), RefusedError)
        assert f'certificate authentication failed for user "{CERTIFIED}"' in error.found
        other = {"sslcert": made.crt("stranger"), "sslkey": made.key("stranger")}
        error = refused(resolve, asking(role, sslmode="require", **other))
        assert error.found.startswith("a server with TLS that gives no connection: ")
        assert error.remedy == ("correct sslcert, sslkey and what else it says in TEST_DATABASE_URL",)


@pytest.mark.parametrize("name", [MD5, TRUSTED])
def test_other_ways_to_log_in(resolve: Resolve, backend: Backend, name: str) -> None:
    """A password by md5 and none at all are as good; a wrong one is told as such where one is asked for."""
    with backend.configured(password_encryption="md5"), role_called(backend, name, "Sesam-7") as role:  # noqa: S106 - a setting
        given = role if name == MD5 else role._replace(password=None)
        assert resolve(TEST_DATABASE_URL=text(given)).target == role.database
        if name == MD5:
            refused(resolve, role.set(password=f"not-{role.password}"), AuthenticationError)


@pytest.mark.parametrize("driver", ["psycopg", "psycopg2", "pg8000", "asyncpg"])
def test_each_driver_verifies_and_shows_a_certificate(backend: Backend, driver: str) -> None:
    """The engines of all drivers encrypt, verify the server and show a certificate, as the URL asks for it."""
    made = backend.certificates
    own = {"sslcert": made.crt("client"), "sslkey": made.key("client")}
    query = sqlalchemy.text("SELECT ssl AND client_dn IS NOT NULL FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
    with role_called(backend, CERTIFIED, "Sesam-unused") as role:
        url = asking(role, sslmode="verify-full", sslrootcert=made.crt("authority"), **own)
        stranger = asking(role, sslmode="verify-ca", sslrootcert=made.crt("stranger"), **own)
        if driver == "asyncpg":
            assert asyncio.run(_ask(url, query)) is True
            with pytest.raises(Exception, match="certificate verify failed"):
                asyncio.run(_ask(stranger, query))
            return
        engine = engines.create(url.set(drivername=f"postgresql+{driver}"), 1)
        with engine.connect() as connection:
            assert connection.execute(query).scalar_one() is True
        engine.dispose()
        with pytest.raises(Exception, match="certificate verify failed"):
            engines.create(stranger.set(drivername=f"postgresql+{driver}"), 1).connect()


async def _ask(url: URL, query: sqlalchemy.TextClause) -> object:
    async with engines.create_async(url, "asyncpg", 1).connect() as connection:
        return (await connection.execute(query)).scalar_one()
