"""Finding a container engine that speaks Docker's API: Docker, Podman, and what else does.

Needs the library `docker`, which is an extra of ours: import this module where it is known to be installed.
"""

from __future__ import annotations

import os
import socket
import stat
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
    for candidate in _candidates(environ):
        answer = _reach(candidate)
        if isinstance(answer, Engine):
            return answer
        reasons.append(f"{candidate}: {answer}")
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


@dataclass(frozen=True, slots=True)
class _Candidate:
    """An engine that there may be.

    Attributes:
        environment: As in `Engine`.
        origin: As in `Engine`.
        address: As in `Engine`; empty when it is not known.
        problem: Why it need not be asked.
    """

    environment: Mapping[str, str]
    origin: str
    address: str
    problem: str | None = None

    def __str__(self) -> str:
        return ", ".join(filter(None, (self.origin, self.address)))


def _candidates(environ: Mapping[str, str]) -> Iterator[_Candidate]:
    """The engines that there may be, in the order in which Docker's own client would look for them."""
    host = environ.get("DOCKER_HOST")
    if host:
        # It overrides the context, which may not even exist.
        named = {name: value for name, value in environ.items() if name.startswith("DOCKER_")}
        named.pop("DOCKER_CONTEXT", None)
        yield _Candidate(named, "DOCKER_HOST", host)
        return
    name = environ.get("DOCKER_CONTEXT") or get_current_context_name()
    if name != "default":
        yield _context(name)
    for address in operating_system.container_engines():
        # A directory that we may not enter has no socket for us: Podman's own is closed to all but root.
        if os.path.exists(address.removeprefix("unix://")) or "://" not in address:  # noqa: PTH110 - Path's raises
            yield _Candidate({"DOCKER_HOST": address}, "by default", address)


def _context(name: str) -> _Candidate:
    """The engine of a docker context."""
    address, problem = "", None
    try:
        found = ContextAPI.get_context(name)
        if found is None:
            problem = "there is no such context"
        elif found.Host:
            address = found.Host
        else:
            problem = "it names no engine"
    except Exception as error:  # noqa: BLE001 - what the library raises when it cannot read the context's file
        problem = str(error)
    return _Candidate({"DOCKER_CONTEXT": name}, f"the docker context {name}", address, problem)


def _reach(candidate: _Candidate) -> Engine | str:
    """The engine, or why it cannot be had."""
    problem = candidate.problem or _refusal(candidate.address)
    if problem is not None:
        return problem
    try:
        connect(candidate.environment, _PING_TIMEOUT).close()
        return Engine(candidate.environment, candidate.origin, candidate.address, connect(candidate.environment))
    except ERRORS as error:
        return _cause(error)


def _refusal(address: str) -> str | None:
    """Why a socket does not let us in; None when it does, or the address is of another kind.

    The library would leave open the socket with which it tried in vain: a warning in whichever test runs then.
    """
    path = address.removeprefix("unix://")
    if path == address:
        return None
    with socket.socket(socket.AF_UNIX) as trial:  # type: ignore[attr-defined,unused-ignore] # not asked for on Windows
        trial.settimeout(_PING_TIMEOUT)
        try:
            trial.connect(path)
        except PermissionError:
            return f"this account may not use the socket{_who_may(Path(path))}"
        except OSError as error:
            return error.strerror or str(error)
    return None


def _who_may(path: Path) -> str:
    """Which group may use a socket, and how to join it; empty where that is no way."""
    try:
        status, group = path.stat(), path.group()  # type: ignore[misc,unused-ignore] # not asked for on Windows
    except (OSError, KeyError):  # in a closed directory; a group that has a number alone
        return ""
    # To make somebody a member of root's own group would give away more than the engine.
    if not status.st_mode & stat.S_IWGRP or status.st_gid == 0:
        return ""
    return f", which the group {group} may: sudo usermod -aG {group} $USER, then log in again"


def _cause(error: Exception) -> str:
    """The end of the chain of errors, which is what the system said."""
    cause: BaseException = error
    while cause.__context__ is not None:
        cause = cause.__context__
    return str(getattr(cause, "strerror", None) or cause)
