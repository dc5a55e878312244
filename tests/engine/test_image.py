"""The image of our own that bears the name of the guide's: it behaves as people know that one to."""

from __future__ import annotations

from typing import TYPE_CHECKING

import psycopg
import pytest

from tests.conftest import wait_until
from tests.engine.podman import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine


@pytest.fixture
def port(engine: Engine) -> Iterator[int]:
    """The port of a container with the guide's variables, and a further option of the server."""
    named = {"POSTGRES_USER": "appapp", "POSTGRES_PASSWORD": "appapp", "POSTGRES_DB": "appapp_test"}
    variables = [word for name, value in named.items() for word in ("--env", f"{name}={value}")]
    name = engine.podman(
        "run", "--detach", "--rm", "--publish", "127.0.0.1::5432", *variables, engine.image, "-c", "work_mem=7MB"
    ).stdout.strip()
    yield int(engine.podman("port", name, "5432/tcp").stdout.strip().rpartition(":")[2])
    engine.podman("rm", "--force", "--volumes", "--time", "0", name)


def test_it_listens_with_the_names_it_was_given(port: int) -> None:
    """User, password and database are those of the variables; further words are options of the server."""
    url = f"postgresql://appapp:{{}}@127.0.0.1:{port}/appapp_test?connect_timeout=2"

    wait_until(lambda: answers(url.format("appapp")), "the server answers")
    with psycopg.connect(url.format("appapp")) as connection:
        asked = "SELECT current_setting('work_mem'), current_setting('server_encoding'), rolsuper FROM pg_roles"
        assert connection.execute(f"{asked} WHERE rolname = 'appapp'").fetchone() == ("7MB", "UTF8", True)
    with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
        psycopg.connect(url.format("wrong"))


def test_it_wants_a_password(engine: Engine) -> None:
    """Without a password it does not start, and says which variable is missing."""
    with pytest.raises(AssertionError, match="set POSTGRES_PASSWORD, or POSTGRES_HOST_AUTH_METHOD=trust"):
        engine.podman("run", "--rm", engine.image)
