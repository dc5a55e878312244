"""The broker: where several processes run tests, the one that directs them finds the server and makes the databases.

It does so once for all, while the others collect tests, and hands each its own. The others talk to it over a loopback
connection, with a key that only they were given. Nothing heavy may be imported here: many runs need no database.
"""

from __future__ import annotations

import contextlib
import functools
import os
import secrets
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from multiprocessing import AuthenticationError
from multiprocessing.connection import Client, Listener, answer_challenge, deliver_challenge
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from pytest_pristine.errors import MissingExtensionError, PristineError, ServerError

if TYPE_CHECKING:
    from pytest_pristine.migrations.surroundings import Surroundings
    from pytest_pristine.servers.needs import Needs
    from pytest_pristine.servers.server import Server
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.run import Run
    from pytest_pristine.templates.workspace import Copy

_LOOPBACK = "127.0.0.1"
# What runs migrations in another process.
_CHILD = "pytest_pristine.migrations.child"
_KEY_BYTES = 32
# Connections that wait to be accepted: a connection beyond them would be lost, and its worker wait for ever.
_BACKLOG = 1024
# Seconds between two tries of an accept that fails, for want of file descriptors say.
_PAUSE = 0.1


class Pipe(Protocol):
    """One end of a connection, whose class differs by platform."""

    def send(self, message: Any, /) -> None:  # noqa: ANN401 - whatever can be pickled
        """Send something."""

    def recv(self) -> Any:  # noqa: ANN401 - the same
        """Wait for something."""


class Contact(NamedTuple):
    """How the broker is reached. It is made of what every serializer takes.

    Attributes:
        port: Its port on the loopback interface.
        key: What proves that one may talk to it.
    """

    port: int
    key: bytes


class Handed(NamedTuple):
    """A server as it is handed to a worker: whoever directs the run gives it back.

    Attributes:
        server: The server.
        needs: What it was chosen for.
        reservation: Stands for the run's id in the names of databases; see `PostgresServer`.
    """

    server: Server
    needs: Needs
    reservation: str = ""


class Broker:
    """Finds a server and makes databases when the first worker asks, and answers all of them.

    Attributes:
        contact: How it is reached.
        said: Lines that the user has to see.
    """

    def __init__(self, find: Callable[[Callable[[str], None]], PostgresServer], workers: Sequence[str]) -> None:
        """Listen.

        Args:
            find: Finds the server, or starts one; it is given where lines go that the user has to see.
            workers: The names of the workers that there will be.
        """
        self.said: list[str] = []
        self._find = find
        self._workers = list(workers)
        # One thread for each worker: whoever comes first does the work, and the others wait for it.
        self._lock = threading.Lock()
        # Held for a shorter time: the server is known before the databases are made.
        self._finding = threading.Lock()
        self._is_certain = False
        self._closed = False
        self._server: PostgresServer | PristineError | None = None
        self._failure: tuple[PristineError, Surroundings] | None = None
        self._run: Run | None = None
        self._copies: dict[str, Copy] = {}
        self._given: dict[str, int] = {}
        key = secrets.token_bytes(_KEY_BYTES)
        # Whoever connects proves that he has the key in a thread of his own: nobody else waits for him.
        self._listener = Listener((_LOOPBACK, 0), backlog=_BACKLOG)
        self.contact = Contact(int(self._listener.address[1]), key)
        threading.Thread(target=self._accept, daemon=True).start()

    # What the process that directs the run asks

    def found(self) -> PostgresServer | None:
        """The server, if there is one by now."""
        return None if self._server is None or isinstance(self._server, PristineError) else self._server

    def settle(self) -> PostgresServer | None:
        """The server, when a worker has collected tests that want one; None when none has so far.

        Raises:
            PristineError: There is none, or it cannot be used.
        """
        if not self._is_certain:
            return None
        if isinstance(self._server, PristineError):
            raise self._server
        return self._server

    def close(self) -> None:
        """End the run: no more answers, and its databases are dropped. Migrations that go on are ended."""
        self._closed = True
        with contextlib.suppress(OSError):
            socket.create_connection((_LOOPBACK, self.contact.port)).close()  # wakes who accepts
        self._listener.close()
        child = sys.modules.get(_CHILD)
        if child is not None:
            child.end_all()
        with self._lock:
            self._end_run()

    # What workers ask. Each method is run in a thread of its own.

    def hint(self, surroundings: Surroundings, *, databases: bool) -> None:
        """A test that wants a server was collected, and may still be left out: find it now, while others are collected.

        Args:
            surroundings: Those of the worker.
            databases: It wants a database, too.
        """
        prepare = functools.partial(self._prepare, surroundings, databases=databases)
        threading.Thread(target=prepare, daemon=True).start()

    def announce(self, surroundings: Surroundings, *, databases: bool) -> None:
        """Tests that want a server will be run. It is there, or there is none, when this returns.

        The databases are made meanwhile: workers have modules to import.
        """
        self.hint(surroundings, databases=databases)
        surroundings.extend_path()
        with contextlib.suppress(PristineError):
            self._the_server()
        self._is_certain = True

    def server(self, surroundings: Surroundings) -> Handed:
        """The server. One that migrations may yet exchange for another is not told before they are done."""
        surroundings.extend_path()
        if self._the_server().reservation:
            return self._handed()
        with self._lock:
            return self._handed()

    def database(self, worker: str, process: int, surroundings: Surroundings) -> tuple[Handed, Copy]:
        """A migrated database for a worker, made now if it was not before.

        Args:
            worker: Its name.
            process: Its process id. One that asks again gets another database. A worker that asks from another process
                runs each test in a fork of itself: it gets the one of the fork before, made anew.
            surroundings: Where it finds modules, and its environment.
        """
        with self._lock:
            surroundings.extend_path()
            self._the_server()
            if worker in self._given and self._run is not None:
                if self._given[worker] != process:
                    self._run.renew(self._copies[worker])
                else:
                    worker = f"{worker}_{len(self._copies)}"
            if worker not in self._copies:
                self._make_for(worker, surroundings)
            self._given[worker] = process
            return self._handed(), self._copies[worker]

    def revive(self) -> bool:
        """Start the server again if it died and is ours; gives whether it was."""
        with self._lock:
            return self._the_server().revive()

    def _prepare(self, surroundings: Surroundings, *, databases: bool) -> None:
        # An error is told to whoever asks for what there is none of.
        with self._lock, contextlib.suppress(PristineError):
            surroundings.extend_path()
            server = self._the_server()
            if databases and self._run is None and server.makes_copies:
                self._make_first(self._workers, surroundings)

    def _the_server(self) -> PostgresServer:
        with self._finding:
            if self._server is None:
                try:
                    self._server = self._find(self.said.append)
                except PristineError as error:
                    self._server = error
            if isinstance(self._server, PristineError):
                raise self._server
            return self._server

    def _handed(self) -> Handed:
        server = self._the_server()
        return Handed(
            replace(server.server, offer=server.server.offer.without_actions()), server.needs, server.reservation
        )

    def _make_for(self, worker: str, surroundings: Surroundings) -> None:
        """Make the database of a worker that asks for it; at first those of all others as well."""
        if self._run is None:
            self._make_first([worker, *(each for each in self._workers if each != worker)], surroundings)
        else:
            self._make(self._run, [worker], surroundings)  # of one that replaces another, which died

    def _make_first(self, workers: Sequence[str], surroundings: Surroundings) -> None:
        """Begin the run, on another server if the migrations turn out to need it.

        What failed once is not tried again, unless the worker that asks has other modules or another environment.
        """
        if self._closed:
            raise ServerError("a database for this worker", "the run has ended")
        if self._failure is not None and not surroundings.differ(self._failure[1], self._own()):
            raise self._failure[0]
        server = self._the_server()
        self._run = server.begin()
        try:
            self._make(self._run, workers, surroundings)
        except MissingExtensionError as error:
            self._end_run()
            server.move_on(error)
            self._make_first(workers, surroundings)
        except PristineError as error:
            self._failure = error, surroundings
            self._end_run()
            raise
        except BaseException:
            self._end_run()
            raise

    def _own(self) -> list[str]:
        """Variables that each worker has with a value of its own."""
        from pytest_pristine.postgres import exported  # heavy, and loaded by now

        server = self._the_server()
        return list(exported.variables(server.settings.export.value, server.url))

    def _make(self, run: Run, workers: Sequence[str], surroundings: Surroundings) -> None:
        server = self._the_server()
        migrator = server.migrations(surroundings)
        first = not self._copies
        made = run.copies(migrator, workers, rebuild=server.rebuilds, is_first=first)
        self._copies.update(zip(workers, made, strict=True))

    def _end_run(self) -> None:
        if self._run is not None:
            self._run.close()
            self._run = None

    # The connections

    def _accept(self) -> None:
        while not self._closed:
            try:
                connection = self._listener.accept()
            except OSError:
                time.sleep(_PAUSE)
                continue
            threading.Thread(target=self._answer_all, args=(connection,), daemon=True).start()

    def _answer_all(self, connection: Any) -> None:  # noqa: ANN401 - its class differs by platform
        with connection, contextlib.suppress(AuthenticationError, EOFError, OSError):
            deliver_challenge(connection, self.contact.key)
            answer_challenge(connection, self.contact.key)
            while True:
                number, method, arguments, options = connection.recv()
                connection.send((number, *self._answer(method, arguments, options)))

    def _answer(self, method: str, arguments: Sequence[Any], options: dict[str, Any]) -> tuple[bool, object]:
        try:
            return True, getattr(self, method)(*arguments, **options)
        except PristineError as error:
            return False, error
        except Exception:  # noqa: BLE001 - it is told where it matters
            return False, RuntimeError(f"in the process that directs the run:\n{traceback.format_exc()}")


class Broking:
    """A worker's side of it. A fork of the worker has a connection of its own."""

    def __init__(self, contact: Contact) -> None:
        self._contact = contact
        self._forget()

    def hint(self, *, databases: bool) -> None:
        """Say that a test which wants a server was collected."""
        self._ask("hint", _surroundings(), databases=databases)

    def announce(self, *, databases: bool) -> None:
        """Say that tests which want a server will be run."""
        self._ask("announce", _surroundings(), databases=databases)

    def server(self) -> Handed:
        """The server of the run.

        Raises:
            ServerError: There is none.
        """
        handed: Handed = self._ask("server", _surroundings())
        return handed

    def database(self, worker: str) -> tuple[Handed, Copy]:
        """The server of the run, and a database on it.

        Raises:
            MigrationError: The migrations failed.
        """
        given: tuple[Handed, Copy] = self._ask("database", worker, os.getpid(), _surroundings())
        return given

    def revive(self) -> bool:
        """Start the server again if it died and is ours; gives whether it was."""
        return bool(self._ask("revive"))

    def _forget(self) -> None:
        self._connection: Pipe | None = None
        self._lock = threading.Lock()
        self._process = os.getpid()
        self._asked = 0

    def _ask(self, method: str, *arguments: object, **options: object) -> Any:  # noqa: ANN401 - as the method has it
        if os.getpid() != self._process:
            self._inherited = self._connection  # our parent's
            self._forget()
        try:
            with self._lock:
                done, answer = self._exchange((method, arguments, options))
        except (EOFError, OSError) as error:
            raise ServerError(
                "an answer of the pytest that directs this worker", f"it has ended: {type(error).__name__}"
            ) from None
        if not done:
            raise answer
        return answer

    def _exchange(self, question: tuple[object, ...]) -> tuple[bool, Any]:
        """Ask and wait. Whoever is interrupted meanwhile leaves no answer for the next question."""
        self._asked += 1
        try:
            if self._connection is None:
                self._connection = Client((_LOOPBACK, self._contact.port), authkey=self._contact.key)
            self._connection.send((self._asked, *question))
            number, done, answer = self._connection.recv()
        except BaseException:
            self._connection = None
            raise
        if number != self._asked:
            raise AssertionError(f"the answer to question {number} instead of {self._asked}")
        return done, answer


def _surroundings() -> Surroundings:
    from pytest_pristine.migrations.surroundings import Surroundings

    return Surroundings.here()
