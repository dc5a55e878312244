"""Choosing a server by what the project needs: a version, an extension."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_pristine import settings
from pytest_pristine.errors import NoServerError, UnfitError
from pytest_pristine.servers import needs, resolver
from pytest_pristine.servers.needs import Extension
from tests.conftest import Project, new_database
from tests.servers.conftest import text

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_pristine.servers.server import Server as Resolved
    from tests.conftest import Home, Server
    from tests.servers.conftest import Resolve

# Names no server has: what follows does not depend on what this machine's servers bring.
NOWHERE = "not_an_extension"
CREATES = """
    from alembic import op

    revision, down_revision = "0002", "0001"

    def upgrade():
        op.execute("CREATE EXTENSION {name}")
"""
# The same, in words that cannot be found by reading.
COMPUTES = CREATES.replace('"CREATE EXTENSION {name}"', '" ".join(["CREATE", "EXTENSION", "{name}"])')


@pytest.fixture
def apart(home: Home, project_at: Callable[[Home], Project]) -> Project:
    """A project with a home of its own: its runs start servers that no other test expects."""
    project = project_at(home)
    return Project(project.path, {**project.environ, "PRISTINE_POSTGRES_VERSION": ""})


@pytest.fixture
def wanting(home: Home) -> Callable[..., Resolved]:
    """A function that looks for a server that has extensions."""

    def find(*names: str, **environ: str) -> Resolved:
        found = settings.resolve({"PRISTINE_HOME": str(home.path), **environ})
        wanted = tuple(Extension(name, "revision 0002 in versions/0002.py") for name in names)
        return resolver.resolve(found, needs.read(found, wanted))

    return find


def test_a_source_that_lacks_an_extension_is_passed_over(wanting: Callable[..., Resolved]) -> None:
    """A server without the extension is not even started, and why it was passed over is told."""
    found = wanting("pgcrypto")
    try:
        assert found.source == "local"
        (embedded,) = [rejection for rejection in found.passed_over if rejection.source == "embedded"]
        assert embedded.notable
        assert embedded.reason.startswith(
            "PostgreSQL 18 there lacks the extension pgcrypto (for revision 0002 in versions/0002.py)"
        )
    finally:
        found.release()


def test_no_source_has_the_extension(wanting: Callable[..., Resolved], home: Home) -> None:
    """When none has it, the extension, who wants it, every source, and the way round are named; nothing was started."""
    with pytest.raises(NoServerError) as caught:
        wanting("pgcrypto", NOWHERE)
    assert f"the extensions pgcrypto and {NOWHERE} (for revision 0002 in versions/0002.py)" in caught.value.sought
    assert f"local: /usr/lib/postgresql/15/bin: PostgreSQL 15 there lacks the extension {NOWHERE} (for" in (
        caught.value.found
    )
    assert any(line.startswith("docker: ") for line in caught.value.found.splitlines())
    assert caught.value.remedy[-1].startswith("or, if the tests need no such extension: pristine_extensions = (empty)")
    assert home.processes() == []


def test_who_named_one_source_is_told_which_would_do(wanting: Callable[..., Resolved]) -> None:
    """Who asks for one source, which lacks what is needed, is told the others that have it."""
    with pytest.raises(NoServerError) as caught:
        wanting("pgcrypto", PRISTINE_SERVER="embedded")
    assert any(
        line.startswith("or --pristine-server=local: PostgreSQL 15 in /usr/lib/postgresql/15/bin")
        for line in caught.value.remedy
    )


def test_the_url_of_this_run_lacks_an_extension(wanting: Callable[..., Resolved], server: Server) -> None:
    """A server that was named for this run is never passed over: that it lacks something is an error."""
    with new_database(server) as url, pytest.raises(UnfitError) as caught:
        wanting(NOWHERE, TEST_DATABASE_URL=text(url))
    assert f"PostgreSQL {server.major} there lacks the extension {NOWHERE}" in caught.value.found
    assert caught.value.remedy == ("name another server, or remove TEST_DATABASE_URL: one is then found or started",)
    assert str(url.password) not in str(caught.value)


def test_the_url_of_this_run_is_of_another_version(resolve: Resolve, server: Server) -> None:
    """A server that was named for this run and is of another version than asked for is an error that says both."""
    with new_database(server) as url, pytest.raises(UnfitError) as caught:
        resolve(ini={"pristine_postgres_version": "17"}, TEST_DATABASE_URL=text(url))
    assert caught.value.found == (
        f"PostgreSQL {server.major} is not version 17 (pristine_postgres_version in the ini file)"
    )


def test_the_configured_url_is_of_another_version(resolve: Resolve, server: Server) -> None:
    """A configured default that will not do is passed over, like one that does not answer, and that is told."""
    other = 18 if server.major == 15 else 15
    with new_database(server) as url:
        found = resolve(ini={"pristine_url": text(url), "pristine_postgres_version": str(other)})
    found.release()
    assert found.version // 10000 == other
    (passed_over,) = [rejection for rejection in found.passed_over if rejection.source == "url"]
    assert passed_over.notable
    assert passed_over.reason == (
        f"PostgreSQL {server.major} is not version {other} (pristine_postgres_version in the ini file) "
        "(pristine_url in the ini file)"
    )


@pytest.mark.parametrize(("version", "source"), [("18", "embedded"), ("16", "embedded"), ("15", "local")])
def test_the_version_that_is_asked_for(resolve: Resolve, version: str, source: str) -> None:
    """The first source that has the version is used: a wheel, or programs that are installed.

    That wheels have other versions is nothing that whoever asked for this one has to be told.
    """
    found = resolve(PRISTINE_POSTGRES_VERSION=version)
    try:
        assert (found.source, found.version // 10000) == (source, int(version))
        assert not [rejection for rejection in found.passed_over if rejection.notable]
    finally:
        found.release()


def test_a_version_that_nobody_has(resolve: Resolve) -> None:
    """A version that is nowhere is an error that says which versions are, and how to have the one asked for."""
    with pytest.raises(NoServerError) as caught:
        resolve(PRISTINE_POSTGRES_VERSION="17")
    assert "embedded: PostgreSQL 18 is not version 17 (PRISTINE_POSTGRES_VERSION)" in caught.value.found
    assert "/usr/lib/postgresql/15/bin: PostgreSQL 15 is not version 17" in caught.value.found
    assert "local: apt install postgresql-17 (on Debian and Ubuntu, as root)" in caught.value.remedy


def test_an_empty_list_of_extensions_asks_for_none(apart: Project) -> None:
    """A project may say that it needs no extension, whatever its migrations say."""
    apart.write("migrations/versions/0002_extension.py", CREATES.format(name="pgcrypto"))
    apart.write("pytest.ini", "[pytest]\npristine_extensions =\n")
    run = apart.run("--pristine-server=embedded", "-k", "nothing_at_all")
    assert "lacks" not in run.output
    apart.write("test_users.py", "def test_server(postgres_server): pass\n")
    run = apart.run("--pristine-server=embedded")
    assert run.status == 0, run.output


def test_a_run_goes_where_the_extension_is(apart: Project) -> None:
    """A project whose migrations create what the embedded server lacks runs on one that has it, and says so."""
    apart.write("migrations/versions/0002_extension.py", CREATES.format(name="pgcrypto"))
    run = apart.run()
    assert run.status == 0, run.output
    said = run.message()
    assert "passed over embedded: PostgreSQL 18 there lacks the extension pgcrypto (for revision 0002 in " in said
    assert "pristine: PostgreSQL 15.18 (local, /usr/lib/postgresql/15/bin)" in said


def test_a_run_moves_on(apart: Project) -> None:
    """An extension that only the server finds missing has the run go to a server that has it, and say so."""
    apart.write("migrations/versions/0002_extension.py", COMPUTES.format(name="pgcrypto"))
    run = apart.run()
    assert run.status == 0, run.output
    assert "(embedded) has no extension pgcrypto, which revision 0002 in " in run.message()
    assert "pristine: PostgreSQL 15.18 (local, /usr/lib/postgresql/15/bin)" in run.message()


def test_a_run_that_cannot_move_on(apart: Project) -> None:
    """When no other server has it either, the tests fail with the extension, the revision and the sources."""
    apart.write("migrations/versions/0002_extension.py", COMPUTES.format(name=NOWHERE))
    run = apart.run()
    assert run.status == pytest.ExitCode.TESTS_FAILED
    assert f"sought: a Postgres server with the extension {NOWHERE} (for revision 0002 in migrations/versions/" in (
        run.message()
    )
