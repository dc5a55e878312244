"""The guide's first prerequisite, to the letter: its `docker run` line, then its pytest line."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import psycopg
import pytest

from pytest_pristine import operating_system
from tests.conftest import clean_environment, wait_until
from tests.engine.podman import answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.conftest import Home
    from tests.engine.podman import Engine

pytestmark = pytest.mark.engine

ROOT = Path(__file__).parents[2]
PORT = 55432
DEFAULT_URL = f"postgresql://appapp:appapp@localhost:{PORT}/appapp_test"


def guides_command(beginning: str) -> list[str]:
    """The words of the command in the backend's README that begins so."""
    text = (ROOT / "backend/README.md").read_text(encoding="utf-8").replace("\\\n", " ")
    (line,) = (line.strip() for line in text.splitlines() if line.strip().startswith(beginning))
    return shlex.split(line)


@pytest.fixture
def guides_container(engine: Engine) -> Iterator[None]:
    """The container of the guide's line, run by Docker's own client where there is one, else by Podman."""
    try:
        operating_system.check_port_free("127.0.0.1", PORT)
    except OSError as error:
        pytest.fail(f"the guide's port {PORT} cannot be had: {error.strerror}", pytrace=False)
    words = guides_command("docker run --rm")
    docker = shutil.which("docker")
    command = [docker, *words[1:]] if docker else [*engine.command, *words[1:]]
    with subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        env={**engine.environ, "DOCKER_HOST": engine.host},
    ) as client:  # fmt: skip
        try:
            wait_until(lambda: answers(DEFAULT_URL), "the container's server answers")
            yield
        finally:
            engine.podman("stop", "--all")
            client.wait(timeout=60)


@pytest.mark.usefixtures("guides_container")
def test_the_guides_line_with_no_environment_variable(home: Home) -> None:
    """With the guide's container running, the guide's pytest line passes on it, by its default URL alone."""
    words = guides_command("PYTHONPATH=. pytest")
    assert words[:2] == ["PYTHONPATH=.", "pytest"]
    environ = clean_environment(PRISTINE_HOME=str(home.path), PYTHONPATH=".", COVERAGE_FILE=str(home.path / "coverage"))
    done = subprocess.run(
        [str(Path(sys.executable).parent / "pytest"), *words[2:], "-p", "no:cacheprovider"],
        cwd=ROOT, env=environ, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert "pristine: PostgreSQL 15" in done.stdout
    assert "(pristine_url in the ini file, database appapp_test)" in done.stdout
    assert re.search(r"^TOTAL .* 100%$", done.stdout, re.MULTILINE)
    assert home.processes() == []
    with psycopg.connect(DEFAULT_URL) as connection:
        assert connection.execute("SELECT count(*) FROM alembic_version").fetchone() == (1,)
        assert connection.execute("SELECT count(*) FROM runs").fetchone() == (0,)
