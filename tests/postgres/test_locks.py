"""Advisory locks, seen by a second client."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.postgres import connections, locks
from tests.conftest import DEADLINE, wait_until

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_pristine.postgres.connections import Connection
    from tests.conftest import Server


@pytest.fixture
def two(server: Server) -> Iterator[tuple[Connection, Connection]]:
    """Two connections to the maintenance database."""
    with connections.connect(server.url, "one") as one, connections.connect(server.url, "two") as other:
        yield one, other


def waiting(server: Server) -> int:
    """How many sessions wait for an advisory lock, as the server counts them."""
    return int(server.ask("SELECT count(*) FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"))


def test_locks_meet(two: tuple[Connection, Connection]) -> None:
    """What one connection holds, another cannot have until it is given back."""
    one, other = two
    locks.take(one, "subject")
    assert not locks.try_take(other, "subject")
    locks.release(one, "subject")
    assert locks.try_take(other, "subject")


def test_subjects_are_apart(two: tuple[Connection, Connection]) -> None:
    """Locks on different subjects do not meet, nor do the three kinds of subject of one name."""
    one, other = two
    locks.take(one, locks.lease("x"))
    assert locks.try_take(other, locks.build("x"))
    assert locks.try_take(other, locks.target("x"))
    assert not locks.try_take(other, locks.lease("x"))


def test_take_waits(server: Server, two: tuple[Connection, Connection]) -> None:
    """Who takes a lock that is held gets it when its holder gives it back, not before."""
    one, other = two
    locks.take(one, "subject")
    got = threading.Event()
    thread = threading.Thread(target=lambda: (locks.take(other, "subject"), got.set()))
    thread.start()
    try:
        wait_until(lambda: waiting(server) == 1, "the second connection waits")
        assert not got.is_set()
    finally:
        locks.release(one, "subject")
        assert got.wait(DEADLINE)
        thread.join()


def test_a_lock_ends_with_its_connection(server: Server, two: tuple[Connection, Connection]) -> None:
    """A run that dies gives its locks back without doing anything."""
    one, other = two
    locks.take(one, "subject")
    server.ask(f"SELECT pg_terminate_backend({one.info.backend_pid}, 10000)")
    assert locks.try_take(other, "subject")


def test_held(two: tuple[Connection, Connection]) -> None:
    """A lock is held within the context, also when it ends with an error, and not after it."""
    one, other = two
    with pytest.raises(ZeroDivisionError), locks.held(one, "subject"):  # noqa: PT012 - both belong together
        assert not locks.try_take(other, "subject")
        raise ZeroDivisionError
    assert locks.try_take(other, "subject")


def test_held_on_a_connection_that_went(two: tuple[Connection, Connection]) -> None:
    """Where the connection was closed within the context, nothing is left to give back and nothing fails."""
    one, other = two
    with locks.held(one, "subject"):
        one.close()
    with locks.held_if_free(other, "another") as free:
        assert free
        other.close()


def test_held_if_free(two: tuple[Connection, Connection]) -> None:
    """Who only tries is told whether it has the lock, and gives back nothing that it never had."""
    one, other = two
    with locks.held_if_free(one, "subject") as first:
        with locks.held_if_free(other, "subject") as second:
            assert (first, second) == (True, False)
        assert not locks.try_take(other, "subject")
    assert locks.try_take(other, "subject")


def test_a_lock_that_is_given_back_in_time(two: tuple[Connection, Connection]) -> None:
    """Who waits for some seconds has the lock when it is given back, and holds it from then on."""
    one, other = two
    locks.take(one, "subject")
    release = threading.Timer(0.2, locks.release, (one, "subject"))
    release.start()
    assert locks.take_within(other, "subject", 10)
    release.join()
    assert not locks.try_take(one, "subject")
    assert other.execute("SHOW lock_timeout").fetchone() == ("0",)


@pytest.mark.parametrize("seconds", [0, 0.1])
def test_a_lock_that_is_not_given_back(two: tuple[Connection, Connection], seconds: float) -> None:
    """Who waits in vain is told so when the time is over, and can go on working."""
    one, other = two
    locks.take(one, "subject")
    assert not locks.take_within(other, "subject", seconds)
    locks.release(one, "subject")
    assert locks.take_within(other, "subject", seconds)
