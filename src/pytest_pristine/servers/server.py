"""The server that a run works on. Workers are handed one: nothing that finds or starts a server is imported here."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.engine import URL

from pytest_pristine.postgres.budget import Budget
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.servers.sources import Offer, Rejection


@dataclass(frozen=True, slots=True)
class Server:
    """The Postgres that a run works on.

    Attributes:
        source: `url`, `up`, `embedded`, `local` or `docker`.
        url: Its maintenance database: where databases are made, marked and locked.
        target: The database that the user named, ours to destroy; None where the source has none.
        capabilities: What it offers to our role.
        passed_over: Sources that were preferred and had no server.
        offer: The source's offer, which `release` gives back.
        budget: The connections that it had when it was found.
    """

    source: str
    url: URL
    target: str | None
    capabilities: Capabilities
    passed_over: tuple[Rejection, ...]
    offer: Offer
    budget: Budget

    @property
    def version(self) -> int:
        """`server_version_num`: 180006 for 18.6."""
        return self.capabilities.version

    @property
    def in_place(self) -> bool:
        """The role may make no databases: the run works in the one that the user named, without a template."""
        return not self.capabilities.createdb

    def release(self) -> None:
        """Give the server back."""
        self.offer.release()

    def __str__(self) -> str:
        where = self.offer.how
        if self.target is not None:
            where += f", database {self.target}" + (", in place" if self.in_place else "")
        return f"PostgreSQL {self.capabilities.version_text} ({where})"
