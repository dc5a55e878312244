"""Finding a container engine that speaks Docker's API: Docker, Podman, and what else does.

Needs the library `docker`, which is an extra of ours: import this module where it is known to be installed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import docker
import requests
from docker.context import ContextAPI
from docker.context.config import get_current_context_name
from docker.errors import DockerException

from pytest_pristine import operating_system

# Seconds that an engine may take to say which it is, and to do any one thing (a pull sends news all the time).
_PING_TIMEOUT = 5
_TIMEOUT = 120
_LOOPBACK = ("localhost", "127.0.0.1", "::1")

# What the library and what it is made of raise.
ERRORS = (DockerException, requests.RequestException, OSError)


@dataclass(frozen=True, slots=True)
class Engine:
    """A container engine that answered.

    Attributes:
        environment: The variables with which Docker's own client reaches it.
        origin: Who named it, for people: "DOCKER_HOST", "the docker context desktop-linux".
        address: Where it listens.
        client: Talks to it.
    """

    environment: Mapping[str, str]
    origin: str
    address: str
    client: docker.DockerClient = field(repr=False)

    @property
    def host(self) -> str | None:
        """The machine that it runs on; None for this one."""
        parts = urlsplit(self.address)
        if parts.scheme not in ("tcp", "http", "https", "ssh") or parts.hostname in _LOOPBACK:
            return None
        return parts.hostname

    def __str__(self) -> str:
        return f"{self.origin}, {self.address}"


def find(environ: Mapping[str, str]) -> Engine | str:
    """The first engine that answers; why none does when there is none.

    Args:
        environ: The environment. An engine that DOCKER_HOST names is the only one asked.
    """
    reasons = []
    for environment, origin, address in _candidates(environ):
        answer = _reach(environment, origin, address)
        if isinstance(answer, Engine):
            return answer
        reasons.append(f"{origin}, {address}: {answer}")
    return "; ".join(reasons) or "no docker context, and no socket of Docker or Podman"


def connect(environment: Mapping[str, str], timeout: int = _TIMEOUT) -> docker.DockerClient:
    """A client for an engine that was found before.

    Args:
        environment: `Engine.environment`.
        timeout: Seconds for each answer.

    Raises:
        One of ERRORS: It does not answer.
    """
    # An empty environment would be the process's own. TLS and contexts are the library's business.
    return docker.from_env(environment={**environment, "_": ""}, timeout=timeout, use_ssh_client=True)


def _candidates(environ: Mapping[str, str]) -> Iterator[tuple[Mapping[str, str], str, str]]:
    """Environments to reach an engine with, each with its origin and address."""
    host = environ.get("DOCKER_HOST")
    if host:
        named = {name: value for name, value in environ.items() if name.startswith("DOCKER_")}
        yield named, "DOCKER_HOST", host
        return
    name = environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name != "default":
        address = getattr(ContextAPI.get_context(name), "Host", None) or "whose address is not known"
        yield {"DOCKER_CONTEXT": name}, f"the docker context {name}", address
    for address in operating_system.container_engines():
        if Path(address.removeprefix("unix://")).exists() or "://" not in address:
            yield {"DOCKER_HOST": address}, "by default", address


def _reach(environment: Mapping[str, str], origin: str, address: str) -> Engine | str:
    """The engine, or why it cannot be had."""
    if environment.get("DOCKER_CONTEXT") and ContextAPI.get_context(environment["DOCKER_CONTEXT"]) is None:
        return "there is no such context"
    try:
        connect(environment, _PING_TIMEOUT).close()
        return Engine(environment, origin, address, connect(environment))
    except ERRORS as error:
        return _cause(error, address)


def _cause(error: Exception, address: str) -> str:
    """The end of the chain of errors, which is what the system said."""
    path = address.removeprefix("unix://")
    if path != address and os.path.exists(path) and not os.access(path, os.R_OK | os.W_OK):  # noqa: PTH110 - as given
        return "this account may not use the socket"
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(getattr(cause, "strerror", None) or cause)
