"""A Postgres server of our own in a container: its life, its address, its end.

<directory>/            ours
    server.json         address and password; only we can read it
    engine.json         how the engine is reached
    lock                held while the container is made or removed
    leases/             see `leases`

The container carries the directory in a label: whoever holds the directory's lock may remove it.
"""

from __future__ import annotations

import json
import secrets
import socket
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock
from sqlalchemy.engine import URL

from pytest_pristine import clock, operating_system, progress
from pytest_pristine.errors import StartError
from pytest_pristine.postgres import connections, urls
from pytest_pristine.servers import address, engine
from pytest_pristine.servers.cluster import LOOPBACK, SETTINGS, START_TIMEOUT
from pytest_pristine.servers.engine import ERRORS, Engine

if TYPE_CHECKING:
    from docker.models.containers import Container as Handle

LABEL = "pytest-pristine.lease"
_ENGINE = "engine.json"
USER = "postgres"
_PORT = "5432/tcp"
# Images differ in where they declare a volume. This place is none of them, and its files live in memory.
_DATA = "/pristine"
# PostgreSQL's shared memory. Docker gives 64 MB.
_SHARED_MEMORY = "256m"
# Lines of the container's log that an error quotes.
_LOG_LINES = 15
# Seconds between two attempts to connect.
_INTERVAL = 0.1


@dataclass(frozen=True, slots=True)
class Container:
    """A server in a container. Its methods are for whoever holds `lock()`.

    Attributes:
        directory: See the module.
    """

    directory: Path

    def lock(self) -> FileLock:
        """The lock under which the container is made and removed."""
        return address.lock(self.directory)

    def running(self) -> URL | None:
        """The address of the server; None when its container does not run, or the engine does not answer."""
        url = address.read(self.directory)
        if url is None:
            return None
        try:
            return url if any(handle.status == "running" for handle in self._handles()) else None
        except ERRORS:
            return None

    def start(self, found: Engine, image: str, port: int | None = None) -> URL:
        """Make a container and wait until its server answers.

        Args:
            found: Where to make it.
            image: What to make it from.
            port: The TCP port that the engine's machine listens on; None for any that is free.

        Raises:
            StartError: The image cannot be had, the port is taken, or the server does not come up; its log is quoted.
        """
        sought = f"a Postgres in a container of the image {image} ({found})"
        if port is not None and found.host is None:
            _check_port(port, sought)
        self.stop()
        operating_system.write_private(self.directory / _ENGINE, json.dumps(dict(found.environment)))
        _provide(found, image, sought)
        password = secrets.token_urlsafe(24)
        try:
            handle = self._create(found, image, port, password, sought)
            with progress.doing(f"starting a container of {image}"):
                url = _wait(handle, found, password, sought)
        except BaseException:
            self.stop()
            raise
        address.write(self.directory, url)
        return url

    def stop(self) -> None:
        """Remove the container, if there is one, and everything in it.

        Raises:
            StartError: The engine does not do it.
        """
        try:
            for handle in self._handles():
                handle.remove(force=True, v=True)
        except ERRORS as error:
            raise StartError(
                f"to remove the container of {self.directory}",
                _said(error),
                ["start the engine", f"or, if it is gone for good: remove {self.directory}"],
            ) from None
        address.forget(self.directory)
        (self.directory / _ENGINE).unlink(missing_ok=True)

    def is_stopping(self) -> bool:
        """The engine stops a container at once."""
        return False

    def address(self) -> URL | None:
        """The address that the server was started with last; None when it never was, or was stopped."""
        return address.read(self.directory)

    def pid(self) -> None:
        """Its processes are the engine's."""

    def discard(self) -> None:
        """Nothing is left of a container that was stopped."""

    def label(self) -> str:
        """The value of the label: an engine may serve several machines."""
        return f"{socket.gethostname()}:{self.directory}"

    def _create(self, found: Engine, image: str, port: int | None, password: str, sought: str) -> Handle:
        settings = [word for name, value in SETTINGS.items() for word in ("-c", f"{name}={value}")]
        try:
            handle = found.client.containers.create(
                image,
                ["postgres", *settings],
                name=f"pristine-{secrets.token_hex(4)}",
                labels={LABEL: self.label()},
                environment={
                    "POSTGRES_USER": USER, "POSTGRES_PASSWORD": password, "POSTGRES_DB": "postgres",
                    "POSTGRES_INITDB_ARGS": "--no-sync --encoding=UTF8", "PGDATA": f"{_DATA}/data",
                },
                # Somebody else's machine is reached through its network; on ours nobody else need reach it.
                ports={_PORT: (LOOPBACK, port) if found.host is None else port},  # type: ignore[dict-item] # None: any
                tmpfs={_DATA: "rw"},
                shm_size=_SHARED_MEMORY,
            )  # fmt: skip
            handle.start()
        except ERRORS as error:
            raise StartError(sought, f"the engine cannot start it: {_said(error)}", _another_port(port)) from None
        return handle

    def _handles(self) -> list[Handle]:
        """The containers with our label: one, or more after an accident."""
        try:
            environment = json.loads((self.directory / _ENGINE).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return []
        client = engine.connect(environment)
        found: list[Handle] = client.containers.list(all=True, filters={"label": f"{LABEL}={self.label()}"})
        return found


def _check_port(port: int, sought: str) -> None:
    """Refuse a port that something listens on, before anything is made."""
    try:
        operating_system.check_port_free(LOOPBACK, port)
    except OSError as error:
        found = f"{LOOPBACK}:{port} cannot be had: {error.strerror}"
        raise StartError(sought, found, _another_port(port)) from None


def _another_port(port: int | None) -> list[str]:
    if port is None:
        return ["see the engine's own message: docker run --rm -p 5432 hello-world"]
    return [f"stop what listens on port {port} (docker ps shows containers), or set another pristine_docker_port"]


def _provide(found: Engine, image: str, sought: str) -> None:
    """Have the image, pulling it if it is not there."""
    try:
        problem = None if _has(found, image) else _pull(found, image)
    except ERRORS as error:
        problem = _said(error)
    if problem is not None:
        raise StartError(
            sought,
            f"no such image, and it cannot be pulled: {problem}",
            [f"docker pull {image}", "or name an image that can be had: pristine_docker_image"],
        )


def _has(found: Engine, image: str) -> bool:
    from docker.errors import ImageNotFound  # the library is heavy, and an extra

    try:
        found.client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _pull(found: Engine, image: str) -> str | None:
    """Pull the image; gives what stood in the way, which the engine tells at the end of its news."""
    repository, tag = _tagged(image)
    with progress.doing(f"pulling the image {image}"):
        news = found.client.api.pull(repository, tag=tag, stream=True, decode=True)
        return next((str(item["error"]) for item in news if "error" in item), None)


def _tagged(image: str) -> tuple[str, str | None]:
    """Repository and tag: without one the library would pull them all. A digest is part of the repository."""
    repository, colon, tag = image.rpartition(":")
    if "@" in image or not colon or "/" in tag:
        return image, None if "@" in image else "latest"
    return repository, tag


def _wait(handle: Handle, found: Engine, password: str, sought: str) -> URL:
    """Wait until a query is answered: while the image makes the data, its port is open and nobody is behind it."""
    end = clock.now() + START_TIMEOUT
    problem = f"no answer in {START_TIMEOUT} s"
    while clock.now() < end:
        try:
            handle.reload()
        except ERRORS as error:
            raise StartError(sought, f"the container has gone: {_said(error)}") from None
        if handle.status in ("exited", "dead"):
            problem = f"the container ended with status {handle.attrs['State']['ExitCode']}"
            break
        addresses = _addresses(handle, found, password)
        if any(map(connections.answers, addresses)):
            # It may have come up after the first was tried, which is the one that people know.
            return next(filter(connections.answers, addresses), addresses[0])
        time.sleep(_INTERVAL)
    raise StartError(sought, f"{problem}. Its log ends:\n{_log(handle, password)}", ["docker logs shows all of it"])


def _addresses(handle: Handle, found: Engine, password: str) -> list[URL]:
    """Where the server may be reached: at the port that was published, and from a container, at its own."""
    network: Mapping[str, Any] = handle.attrs["NetworkSettings"]
    places = [(found.host or LOOPBACK, int(entry["HostPort"])) for entry in (network["Ports"] or {}).get(_PORT) or []]
    if found.host is None and operating_system.in_container():
        several = (network.get("Networks") or {}).values()
        places += [(each["IPAddress"], 5432) for each in several if each.get("IPAddress")]
    return [URL.create("postgresql+psycopg", USER, password, host, port, database="postgres") for host, port in places]


def _log(handle: Handle, password: str) -> str:
    try:
        text = handle.logs(tail=_LOG_LINES).decode(errors="replace")
    except ERRORS as error:
        return f"(it cannot be read: {_said(error)})"
    return urls.redact(text.strip(), URL.create("postgresql", USER, password))


def _said(error: Exception) -> str:
    """What the engine said, without the address of the request."""
    return str(getattr(error, "explanation", None) or error)
