"""Names and passwords with any characters, from all places where libpq finds them; shown nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest

from pytest_pristine.errors import AuthenticationError
from tests.network.conftest import LIFE, passed, role_called
from tests.network.test_addresses import ENV_PY
from tests.servers.conftest import text

if TYPE_CHECKING:
    from pathlib import Path

    from sqlalchemy.engine import URL

    from tests.conftest import Project
    from tests.network.conftest import Backend
    from tests.servers.conftest import Resolve

PRINTABLE = "".join(map(chr, range(0x20, 0x7F)))
# A name has at most 63 bytes: those with a meaning in URLs and SQL, and others.
NAMES = (f"n{PRINTABLE[:48]}", f"n{PRINTABLE[:47:-1]} Ü☃")
PASSWORDS = (PRINTABLE[::-1], f"größe ✓{PRINTABLE}")


def percent(text: str) -> str:
    """Text as it stands in a URL."""
    return quote(text, safe="")


def typed(url: URL, password: str) -> str:
    """The URL as a user types it, everything odd encoded."""
    return f"postgresql://{percent(str(url.username))}:{percent(password)}@{url.host}:{url.port}/{url.database}"


def spellings(password: str) -> set[str]:
    """How a password may come to be shown."""
    return {password, repr(password)[1:-1], percent(password), quote(password, safe=" +"), quote_plus(password)}


@pytest.mark.parametrize(("name", "password"), list(zip(NAMES, PASSWORDS, strict=True)), ids=["ascii", "unicode"])
def test_any_name_and_password(project: Project, backend: Backend, name: str, password: str) -> None:
    """A run passes with any characters in the user's name and password, and shows no password where a test fails."""
    with role_called(backend, name, password) as role:
        project.write("test_users.py", LIFE)
        project.write("test_failing.py", _FAILING)
        project.write("migrations/env.py", ENV_PY)
        run = project.run("-l", "-vv", "--tb=long", "--log-cli-level=DEBUG", TEST_DATABASE_URL=typed(role, password))
        assert "3 failed, 3 passed" in run.output, run.output
        for word in spellings(password):
            assert word not in run.output
            # Nor is any part of it, where what is shown was cut.
            assert word[:20] not in run.output
            assert word[-20:] not in run.output


_FAILING = """
    import psycopg
    import pytest
    from sqlalchemy import create_engine, text

    def test_local(postgres_url):
        spelt = postgres_url.render_as_string(hide_password=False)
        print(spelt)
        raise AssertionError(spelt)

    def test_connect(postgres_url):
        create_engine(postgres_url.set(database="nowhere")).connect()

    def test_driver(postgres_url):
        password = postgres_url.password
        arguments = {"password": password}
        psycopg.connect(host="127.0.0.1", port=1, user=postgres_url.username, password=password)
"""


@pytest.mark.parametrize(("name", "password"), list(zip(NAMES, PASSWORDS, strict=True)), ids=["ascii", "unicode"])
def test_any_wrong_password(resolve: Resolve, backend: Backend, name: str, password: str) -> None:
    """A wrong password of any characters is told as such, and not shown."""
    with role_called(backend, name, "another") as role, pytest.raises(AuthenticationError) as caught:
        resolve(TEST_DATABASE_URL=typed(role, password))
    assert caught.value.found.startswith(f"a server that rejects the user {name!r} or the password: ")
    assert not {word for word in spellings(password) if word in str(caught.value)}


@pytest.mark.parametrize("place", ["PGPASSWORD", "PGPASSFILE", "service"])
def test_passwords_from_other_places(project: Project, owned: URL, tmp_path: Path, place: str) -> None:
    """A password that libpq finds elsewhere serves every connection of a run, migrations included, and is not shown."""
    project.write("test_users.py", LIFE)
    url = owned._replace(password=None)
    environ: dict[str, str] = {}
    if place == "PGPASSWORD":
        environ = {place: str(owned.password)}
    if place == "PGPASSFILE":
        path = tmp_path / "passwords"
        path.write_text(f"*:*:*:{owned.username}:{owned.password}\n")
        path.chmod(0o600)
        environ = {place: str(path)}
    if place == "service":
        path = tmp_path / "services"
        path.write_text(
            f"[tests]\nhost={owned.host}\nport={owned.port}\nuser={owned.username}\npassword={owned.password}\n"
        )
        environ = {"PGSERVICEFILE": str(path)}
        url = url._replace(host=None, port=None, username=None).update_query_dict({"service": "tests"})
    run = project.run("--log-cli-level=DEBUG", "-l", TEST_DATABASE_URL=text(url), **environ)
    assert passed(run), run.output
    assert str(owned.password) not in run.output


def test_a_service_that_is_not_there(resolve: Resolve, owned: URL) -> None:
    """A service that no file describes is an error that names it."""
    url = owned._replace(host=None, port=None, username=None).update_query_dict({"service": "elsewhere"})
    with pytest.raises(Exception, match="elsewhere") as caught:
        resolve(TEST_DATABASE_URL=text(url))
    assert str(owned.password) not in str(caught.value)
