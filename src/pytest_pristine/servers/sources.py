"""What a source of servers is. Each source is a module of its own; the resolver lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Protocol

from sqlalchemy.engine import URL

from pytest_pristine.servers.needs import Needs
from pytest_pristine.settings import Settings


def _nothing() -> None:
    """There is nothing to do."""


def _nobody_can() -> bool:
    """A server that is not ours is started by others."""
    return False


@dataclass(frozen=True, slots=True)
class Offer:
    """A server that answers.

    Attributes:
        url: A database of it that we may connect to.
        target: The database that the user named to be tested in, if the source is one where users name it.
        how: What it is, for people: "embedded", "TEST_DATABASE_URL".
        named: The user named this very server for this run: no other will do, whatever it lacks.
        release: Gives it back; a server of ours stops when nobody holds it any longer.
        revive: Starts it again if it died and is ours; gives whether it was. It raises `ServerError` when it does not
            come up.
        log: The server's own log, where it is on this machine and ours to read.
    """

    url: URL
    how: str
    target: str | None = None
    named: bool = False
    release: Callable[[], None] = _nothing
    revive: Callable[[], bool] = _nobody_can
    log: Path | None = None

    def without_actions(self) -> Offer:
        """The offer for another process: this one gives the server back."""
        return replace(self, release=_nothing, revive=_nobody_can)


@dataclass(frozen=True, slots=True)
class Found:
    """A server that a source can offer.

    Attributes:
        what: What it is and in which state, for people: "PostgreSQL 15.18 in /usr/lib/postgresql/15/bin, stopped".
        open: Connects to it or starts it. It raises `ServerError` when it cannot.
    """

    what: str
    open: Callable[[], Offer]


def ready(what: str, offer: Offer) -> Found:
    """A server that was found to answer."""
    return Found(what, lambda: offer)


@dataclass(frozen=True, slots=True)
class Rejection:
    """Why a source has no server to offer.

    Attributes:
        source: Its name.
        reason: What was looked for and what was found.
        remedy: What to type so that it has one; empty when there is nothing to mend.
        notable: People want to know that the run went elsewhere: the project names this server, or it is there, has the
            version that was asked for, if one was, and will not do.
    """

    source: str
    reason: str
    remedy: str = ""
    notable: bool = False


class Source(Protocol):
    """A way to come by a server."""

    @property
    def name(self) -> str:
        """The word for it in `--pristine-server`."""

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:
        """Look for a server, and start or change nothing.

        Raises:
            ServerError: The user asked for a particular server, and it cannot be used. No other source is tried.
        """
