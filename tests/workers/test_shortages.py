"""A server that restarts, or runs out of connections or disk, in the middle of a run."""

from __future__ import annotations

import os
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pytest_pristine.servers.cluster import Login
from tests.conftest import Home, Project, Server, binaries, finish, lay_out, new_cluster, new_role, wait_until

_HEAD = """
    import time
    from pathlib import Path

    import psycopg
    import pytest
    from sqlalchemy import text

    def writes(engine):
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            assert connection.execute(text("SELECT count(*) FROM users")).scalar_one() == 2

    def test_before(postgres_engine, clean_database):
        writes(postgres_engine)
"""
_RESTARTED = """
    def test_waits(postgres_engine, clean_database):
        Path("ready").touch()
        while not Path("go").exists():
            time.sleep(0.05)
        writes(postgres_engine)

    def test_after(postgres_engine, clean_database):
        writes(postgres_engine)
"""
_EXHAUSTED = """
    hoard = []

    def test_takes_all(postgres_engine, clean_database, postgres_url):
        writes(postgres_engine)
        while True:
            hoard.append(psycopg.connect(postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)))

    def test_has_what_it_needs(postgres_engine, clean_database):
        writes(postgres_engine)

    def test_after(postgres_engine, clean_database):
        for each in hoard:
            each.close()
        writes(postgres_engine)
        with postgres_engine.connect(), postgres_engine.connect():
            pass
"""
_FILLED = """
    def test_fills(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO notes SELECT repeat('x', 2000) FROM generate_series(1, 200000)"))

    def test_after(postgres_engine, clean_database):
        writes(postgres_engine)
"""


def text(url: object) -> str:
    """A URL with its password."""
    return url.render_as_string(hide_password=False)  # type: ignore[attr-defined,no-any-return]


def test_a_server_that_restarts(project: Project) -> None:
    """When an external server restarts the test that had it fails with a line, and the run goes on."""
    with new_cluster() as (cluster, server):
        project.write("test_users.py", _HEAD + _RESTARTED)
        run = project.start("-q", TEST_DATABASE_URL=text(server.url))
        wait_until((project.path / "ready").exists, "the test waits")
        cluster.halt()
        cluster.start(binaries(), Login(str(server.url.username), str(server.url.password)), server.url.port)
        (project.path / "go").touch()
        done = finish(run)
    assert "1 failed, 2 passed" in done.output, done.output
    assert "FAILED test_users.py::test_waits - sqlalchemy.exc.OperationalError: (psycopg" in done.output


def test_connections_run_out(project: Project, server: Server) -> None:
    """A test that gets no connection fails with the server's sentence; restores and other tests need no new one."""
    with new_role(server, "CREATEDB CONNECTION LIMIT 12") as role:
        project.write("test_users.py", _HEAD + _EXHAUSTED)
        done = project.run("-q", TEST_DATABASE_URL=text(role))
    assert "1 failed, 3 passed" in done.output, done.output
    assert "too many connections for role" in done.output


@contextmanager
def small_disk(megabytes: int) -> Iterator[Path]:
    """A file system of its own."""
    with tempfile.TemporaryDirectory(prefix="pp-") as place:
        Path(place).chmod(0o711)
        mount = ["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode=0711", "tmpfs", place]
        subprocess.run(mount, check=True)
        try:
            yield Path(place)
        finally:
            subprocess.run(["umount", "--lazy", place], check=True)  # noqa: S607 - in PATH


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() != 0, reason="only root can mount a file system")
def test_the_disk_is_full(tmp_path: Path) -> None:
    """A test that fills the disk fails with the server's sentence, what it wrote is gone, and the run goes on."""
    with small_disk(200) as place:
        home = Home(place)
        project = lay_out(tmp_path, home)
        revision = project.path / "migrations/versions/0001_users.py"
        revision.write_text(revision.read_text() + "    op.execute('CREATE UNLOGGED TABLE notes (body text)')\n")
        project.write("test_users.py", _HEAD + _FILLED)
        done = project.run("-q")
        home.remove()
    assert "1 failed, 2 passed" in done.output, done.output
    assert "(psycopg.errors.DiskFull) could not extend file" in done.output
