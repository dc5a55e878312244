"""The broker by itself: who may talk to it, and what it says when things go wrong."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client
from typing import NoReturn

import pytest

from pytest_pristine.errors import PristineError, ServerError, UnreachableError
from pytest_pristine.templates.broker import Broker, Broking, Contact


def no_server(_: Callable[[str], None]) -> NoReturn:
    """What finds no server."""
    raise UnreachableError("a server", "none", ["start one"])


def broken(_: Callable[[str], None]) -> NoReturn:
    """What has a defect."""
    raise ZeroDivisionError("of the finder")


@contextmanager
def broker(find: Callable[[Callable[[str], None]], NoReturn] = no_server) -> Iterator[Broker]:
    """A broker for two workers."""
    made = Broker(find, ["gw0", "gw1"])
    yield made
    made.close()


@pytest.fixture
def listening() -> Iterator[Broker]:
    """A broker that finds no server."""
    with broker() as made:
        yield made


def test_a_stranger(listening: Broker) -> None:
    """Whoever has not the key is turned away, and nothing of what he sends is unpacked."""
    with pytest.raises(AuthenticationError):
        Client(("127.0.0.1", listening.contact.port), authkey=b"guessed")
    with pytest.raises(UnreachableError):
        Broking(listening.contact).server()


def test_one_who_says_nothing(listening: Broker) -> None:
    """A connection on which nothing is said keeps nobody waiting."""
    with socket.create_connection(("127.0.0.1", listening.contact.port)), pytest.raises(UnreachableError):
        Broking(listening.contact).server()


def test_an_error_is_whole(listening: Broker) -> None:
    """The error that there is no server reaches each worker with all its parts, and the controller."""
    for _ in range(2):
        with pytest.raises(UnreachableError) as caught:
            Broking(listening.contact).database("gw0")
        assert (caught.value.sought, caught.value.found, caught.value.remedy) == ("a server", "none", ("start one",))
    assert listening.settle() is None
    Broking(listening.contact).announce(databases=True)
    with pytest.raises(UnreachableError):
        listening.settle()


def test_a_defect() -> None:
    """An error that nobody expected is told to the worker with its traceback."""
    with broker(broken) as made, pytest.raises(RuntimeError, match="ZeroDivisionError: of the finder"):
        Broking(made.contact).server()


def test_a_broker_that_is_gone() -> None:
    """A worker whose controller has ended says so."""
    with broker() as made:
        asking = Broking(made.contact)
        with pytest.raises(PristineError):
            asking.server()
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        with pytest.raises(ServerError, match="it has ended: ConnectionRefusedError"):
            Broking(Contact(unused.getsockname()[1], b"key")).server()


def test_many_at_once(listening: Broker) -> None:
    """Workers that come at the same moment are all answered."""
    together = threading.Barrier(32)

    def ask(_: int) -> bool:
        together.wait()
        try:
            Broking(listening.contact).server()
        except UnreachableError:
            return True
        return False

    with ThreadPoolExecutor(32) as pool:
        assert all(pool.map(ask, range(32), timeout=30))


def test_an_interrupted_question() -> None:
    """The answer to a question whose asker was interrupted is not taken for that to the next one."""
    going = threading.Event()

    def find(_: Callable[[str], None]) -> NoReturn:
        going.wait(10)
        raise UnreachableError("a server", "none")

    with broker(find) as made:
        asking = Broking(made.contact)
        with pytest.raises(ServerError, match="it has ended: TimeoutError"):
            _interrupted(asking)
        going.set()
        with pytest.raises(UnreachableError):
            asking.database("gw0")


def _interrupted(asking: Broking) -> None:
    def interrupt(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, interrupt)
    signal.setitimer(signal.ITIMER_REAL, 0.2)
    try:
        asking.server()
    finally:
        signal.signal(signal.SIGALRM, before)


def test_a_fork(listening: Broker) -> None:
    """A fork asks on a connection of its own: one that is killed leaves its parent no answer."""
    asking = Broking(listening.contact)
    with pytest.raises(UnreachableError):
        asking.server()
    child = os.fork()
    if child == 0:
        try:
            asking.server()
        except UnreachableError:
            os._exit(0)
        os._exit(1)
    assert os.waitpid(child, 0)[1] == 0
    with pytest.raises(UnreachableError):
        asking.server()
