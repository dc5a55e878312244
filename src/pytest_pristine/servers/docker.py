"""The source `docker`: a server of our own in a container, with Docker, Podman, or what else speaks Docker's API."""

from __future__ import annotations

import hashlib
import importlib.util
import os
from typing import TYPE_CHECKING

from sqlalchemy.engine import URL

from pytest_pristine import operating_system
from pytest_pristine.servers import home, keeper, leases
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Offer, Rejection
from pytest_pristine.settings import Settings, linger

if TYPE_CHECKING:
    from pytest_pristine.servers.container import Container
    from pytest_pristine.servers.engine import Engine

# The image of the guide, of whichever version is asked for.
_IMAGE = "postgres:{}-alpine"
_VERSION = 15
_DIGITS = 8


class Docker:
    """One container for each engine and image, shared by all runs of all projects, its data in memory."""

    name = "docker"

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:
        """Look for an engine that answers. Which extensions an image has only its server can tell."""
        if importlib.util.find_spec("docker") is None:
            return Rejection(
                self.name, "the Python package docker is not installed", 'pip install "pytest-pristine[docker]"'
            )
        configured = settings.postgres_bin
        if configured.value is not None and settings.server.value != self.name:
            return Rejection(self.name, f"{configured.origin} names other programs")
        from pytest_pristine.servers import engine  # needs the library

        found = engine.find(os.environ)
        if isinstance(found, str):
            return Rejection(self.name, f"no container engine answers: {found}", operating_system.how_to_start_docker())
        image = settings.docker_image.value or _IMAGE.format(needs.version.value or _VERSION)
        return Found(f"the image {image} ({found})", lambda: _lease(settings, found, image))


def _lease(settings: Settings, found: Engine, image: str) -> Offer:
    """Lease the container of the image, making it if there is none.

    Raises:
        StartError: It cannot be had.
    """
    from pytest_pristine.servers.container import Container  # needs the library

    port = settings.docker_port.value
    digest = hashlib.sha256("\n".join((found.address, image, str(port))).encode()).hexdigest()[:_DIGITS]
    directory = home.server(home.provide(settings.home, None), f"{keeper.CONTAINER_PREFIX}{digest}")
    container = Container(directory)
    with container.lock():
        url = container.running() or _start_kept(container, found, image, port)
        lease = leases.take(directory, linger(settings))
        keeper.ensure(directory)

    def release() -> None:
        keeper.ensure(directory)
        lease.release()

    return Offer(url, f"docker, {image}", release=release)


def _start_kept(container: Container, found: Engine, image: str, port: int | None) -> URL:
    """Start the container and, before it, its keeper: if we are killed in between, there is one who removes it."""
    keeper.ensure(container.directory)
    try:
        return container.start(found, image, port)
    except BaseException:
        keeper.dismiss(container.directory)
        raise
