"""Database URLs: read, shown, redacted, and turned into a connection."""

from __future__ import annotations

import string
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

import pytest
from psycopg import sql
from psycopg.conninfo import conninfo_to_dict
from sqlalchemy.engine import URL, make_url

from pytest_pristine.errors import NotAPostgresUrlError, UnreachableError
from pytest_pristine.postgres import connections, urls

if TYPE_CHECKING:
    from tests.conftest import Server

# Passwords that break naive handling: every special character, words of a URL, percent signs, other scripts.
PASSWORDS = [
    *(f"Se{character}sam7" for character in string.punctuation),
    *(f"{character}Sesam7{character}" for character in "'\"\\@:/%+ &"),
    "Sesam 7 offen",
    "p@ss:w/rd?x=1&y=2#z",
    "100%25Sesam",
    "Sésam7öffne",
    "芝麻开门芝麻",
    "password=Sesam7",
    "://u:Sesam7@h",
]


@pytest.mark.parametrize(
    ("text", "driver"),
    [
        ("postgres://u:p@h:1/db", "postgresql+psycopg"),
        ("postgresql://u:p@h:1/db", "postgresql+psycopg"),
        ("postgresql+psycopg://u:p@h:1/db", "postgresql+psycopg"),
        ("postgresql+asyncpg://u:p@h:1/db", "postgresql+asyncpg"),
        ("postgresql+psycopg2://u:p@h:1/db", "postgresql+psycopg2"),
    ],
)
def test_the_driver_is_psycopg_unless_one_is_named(text: str, driver: str) -> None:
    """A URL without a driver means psycopg; a driver that is named is kept."""
    found = urls.parse(text, "TEST_DATABASE_URL")
    assert found.drivername == driver
    assert (found.username, found.password, found.host, found.port, found.database) == ("u", "p", "h", 1, "db")


@pytest.mark.parametrize(
    "text",
    [
        "postgresql:///app?host=/var/run/postgresql",
        "postgresql:///app?host=/a&host=/b",
        "postgresql://h/app",
        "postgresql://u@[::1]:5433/app",
        "postgresql://u:p%40%2F@h/app?sslmode=disable&options=-c%20geqo%3Doff",
        "postgresql://%2Ftmp%2Fsockets/app",
        "postgresql://u:p@h/My%20App",
    ],
)
def test_conninfo_says_what_libpq_reads(text: str) -> None:
    """The arguments for psycopg are those that libpq itself reads in the URL."""
    found = urls.conninfo(urls.parse(text, "TEST_DATABASE_URL"))
    wanted = conninfo_to_dict(text)
    # libpq knows one list of hosts where a URL of SQLAlchemy has two parameters, of which libpq takes the last.
    if "host=/a&host=/b" in text:
        wanted["host"] = "/a,/b"
    if "%2Ftmp" in text:
        wanted["host"] = found["host"]
    if "My%20App" in text:
        wanted["dbname"] = found["dbname"]
    assert {key: str(value) for key, value in found.items()} == wanted


@pytest.mark.parametrize(
    ("text", "found", "remedy"),
    [
        ("sqlite:///test.db", "a URL of sqlite", "unset TEST_DATABASE_URL: a Postgres is then found or started"),
        ("sqlite://", "a URL of sqlite", "unset TEST_DATABASE_URL: a Postgres is then found or started"),
        ("sqlite+aiosqlite:///x", "a URL of sqlite", "unset TEST_DATABASE_URL: a Postgres is then found or started"),
        ("mysql://u:Sesam7@h/db", "a URL of mysql", "set TEST_DATABASE_URL to a Postgres URL"),
        ("mssql+pyodbc://u:Sesam7@h/db", "a URL of mssql", "set TEST_DATABASE_URL to a Postgres URL"),
        ("Sesam7", "text that is no database URL", "set TEST_DATABASE_URL to a Postgres URL"),
        ("localhost:5432/Sesam7", "text that is no database URL", "set TEST_DATABASE_URL to a Postgres URL"),
        ("postgresql://u:Sesam7@h:port/db", "text that is no database URL", "set TEST_DATABASE_URL to a Postgres URL"),
        ("host=h password=Sesam7", "text that is no database URL", "set TEST_DATABASE_URL to a Postgres URL"),
        ("postgresql://u:Sesam7@h:1", "which names no database", "end the URL in TEST_DATABASE_URL with /name"),
        ("postgresql://u:Sesam7@h:1/", "which names no database", "end the URL in TEST_DATABASE_URL with /name"),
    ],
)
def test_what_is_no_postgres_url_is_refused(text: str, found: str, remedy: str) -> None:
    """Each kind of wrong text has its own message, which names the setting and never shows a password."""
    with pytest.raises(NotAPostgresUrlError) as caught:
        urls.parse(text, "TEST_DATABASE_URL")
    assert found in caught.value.found
    assert remedy in caught.value.remedy[0]
    assert caught.value.sought == f"a Postgres URL in TEST_DATABASE_URL, such as {urls.EXAMPLE}"
    assert "Sesam7" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("postgresql://appapp:Ses@m7@localhost/app", "in its password"),
        ("postgresql://appapp:Ses@m/7@localhost/app", "in its password"),
        ("postgresql://appapp:Ses@m?x=7@localhost/app", "in its password"),
        ("postgresql://appapp:Ses@m?7@localhost/app", "in its password"),
        ("postgresql://app/app:Ses7@localhost/m7", "after its host, or a / before it"),
        ("postgresql://localhost/m7@Ses", "after its host, or a / before it"),
    ],
)
def test_an_at_sign_that_is_not_escaped(text: str, where: str) -> None:
    """It ends the password for whoever reads the URL: nothing of it is used or shown, whatever follows."""
    with pytest.raises(NotAPostgresUrlError) as caught:
        urls.parse(text, "TEST_DATABASE_URL")
    assert caught.value.found == f"a URL with an @ {where} (not shown)"
    assert caught.value.remedy[0].startswith("write it as %40 in TEST_DATABASE_URL")
    assert not any(part in str(caught.value) for part in ("Ses", "m7", "x=7"))


def test_an_at_sign_that_is_escaped_or_in_the_user() -> None:
    """A database may have one in its name, and a user who has one need not escape it."""
    url = urls.parse("postgresql://me@tenant:Sesam7@h/a%40b", "TEST_DATABASE_URL")
    assert (url.username, url.password, url.host) == ("me@tenant", "Sesam7", "h")


@pytest.mark.parametrize("password", PASSWORDS)
def test_a_password_survives_reading(password: str) -> None:
    """Whatever characters a password has, it reaches psycopg as it was meant."""
    text = f"postgresql://appapp:{quote(password, safe='')}@localhost:5432/app_test"
    assert urls.conninfo(urls.parse(text, "TEST_DATABASE_URL"))["password"] == password


@pytest.mark.parametrize("password", PASSWORDS)
def test_show_hides_the_password(password: str) -> None:
    """The URL as it is shown holds neither the password nor an encoded form of it."""
    url = URL.create("postgresql+psycopg", "appapp", password, "localhost", 5432, "app_test")
    assert urls.show(url) == "postgresql://appapp:***@localhost:5432/app_test"


@pytest.mark.parametrize("password", PASSWORDS)
def test_redact_hides_every_spelling_of_the_password(password: str) -> None:
    """No text keeps the password: bare, in a URL of any encoding, or in a connection string."""
    url = URL.create("postgresql+psycopg", "appapp", password, "localhost", 5432, "app_test")
    spellings = {
        password,
        quote(password, safe=""),
        quote_plus(password),
        url.render_as_string(hide_password=False).partition("appapp:")[2].partition("@localhost")[0],
    }
    for spelling in spellings:
        text = f"said: {spelling}; postgresql://appapp:{spelling}@localhost/x and password='{spelling}' dbname=x"
        shown = urls.redact(text, url)
        for other in spellings:
            assert other not in shown
        assert shown.startswith("said: ")
        assert "dbname=x" in shown


@pytest.mark.parametrize("text", ["appapp", "app_test", "localhost"])
def test_redact_keeps_the_names(text: str) -> None:
    """Where the password is also a name, as in the guide's URL, names stay readable and the password still goes."""
    url = URL.create("postgresql+psycopg", "appapp", text, "localhost", 5432, "app_test")
    said = f"user appapp at localhost, app_test: postgresql://appapp:{text}@localhost/app_test password={text}"
    assert urls.redact(said, url) == (
        "user appapp at localhost, app_test: postgresql://appapp:***@localhost/app_test password=***"
    )


def test_redact_without_a_password() -> None:
    """A URL without a password leaves other text alone."""
    said = "the server at localhost: no such file"
    assert urls.redact(said, make_url("postgresql://u@h/db")) == said


@pytest.mark.parametrize("parameter", ["password", "sslpassword"])
def test_a_password_in_the_query_is_not_shown(parameter: str) -> None:
    """Libpq also takes a password as a parameter of the URL, and it is no less secret there."""
    url = urls.parse(f"postgresql:///app?host=/tmp&user=appapp&{parameter}=Sesam7", "TEST_DATABASE_URL")
    assert "Sesam7" not in urls.show(url)
    assert "Sesam7" not in urls.redact(f"cannot use {url.render_as_string(hide_password=False)}: Sesam7", url)


@pytest.mark.parametrize("password", PASSWORDS[-12:])
def test_every_password_connects(server: Server, password: str) -> None:
    """A role with any password can be connected to through a URL, and a wrong one is rejected without showing it."""
    role = sql.Identifier("any_password")
    url = server.url.set(username="any_password", password=password)
    with server.connect() as connection, connection.transaction():
        connection.execute(sql.SQL("CREATE ROLE {} LOGIN PASSWORD {}").format(role, sql.Literal(password)))
    try:
        text = url.render_as_string(hide_password=False).replace("+psycopg", "")
        with connections.connect(urls.parse(text, "x"), "test") as client:
            assert client.execute("SELECT current_user").fetchone() == ("any_password",)
        wrong = url.set(password=password + "x")
        with pytest.raises(UnreachableError):
            connections.connect(wrong, "test").close()
    finally:
        with server.connect() as connection:
            connection.execute(sql.SQL("DROP ROLE {}").format(role))


@pytest.mark.parametrize("query", ["application_name=mine", "connect_timeout=3", "sslmode=disable"])
def test_a_parameter_of_libpq_is_taken(server: Server, query: str) -> None:
    """A URL may carry any parameter that libpq knows, also one that we set ourselves."""
    url = urls.parse(f"{server.url.render_as_string(hide_password=False)}?{query}", "TEST_DATABASE_URL")
    with connections.connect(url, "test") as client:
        assert client.execute("SELECT 1").fetchone() == (1,)
