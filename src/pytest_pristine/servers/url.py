"""The source `url`: a server that the user runs and names by URL."""

from __future__ import annotations

from pytest_pristine.errors import UnreachableError
from pytest_pristine.postgres import poolers, urls
from pytest_pristine.servers import named
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Offer, Rejection, ready
from pytest_pristine.settings import Settings


class Url:
    """A database that the user named: for this run, or in the project's configuration for all runs."""

    name = "url"

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:  # noqa: ARG002 - its needs are looked at inside
        """Connect to the database named.

        One that was named for this run must answer: going elsewhere would test something else than was asked for.
        A configured default need not: it is passed over, and the run says so.

        Raises:
            ServerError: It cannot be used.
        """
        text, origin = settings.url.value, settings.url.origin
        if text is None:
            reason = f"{origin} is empty" if settings.url.explicit else "no URL is given"
            remedy = f"set TEST_DATABASE_URL, for example to {urls.EXAMPLE}"
            return Rejection(self.name, reason, remedy, notable=settings.url.explicit)
        url = urls.parse(text, origin)
        try:
            with named.connect(url, "find", origin) as connection:
                poolers.check(connection, url, origin)
        except UnreachableError as error:
            if settings.url.explicit or settings.server.value == self.name:
                raise
            return Rejection(
                self.name, f"nothing answers at {urls.show(url)} ({origin})", error.remedy[0], notable=True
            )
        offer = Offer(url, origin, target=url.database, named=settings.url.explicit)
        return ready(f"a server at {urls.show(url)} ({origin})", offer)
