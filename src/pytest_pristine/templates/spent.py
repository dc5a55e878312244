"""Where the time goes before the first test."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from pytest_pristine import clock


@dataclass(slots=True)
class Spent:
    """Seconds.

    Attributes:
        start: Until there was a server.
        migrations: Finding a template, or making it.
        clone: Making copies of it.
    """

    start: float = 0.0
    migrations: float = 0.0
    clone: float = 0.0

    @contextmanager
    def on(self, what: str) -> Iterator[None]:
        """Count the time of something.

        Args:
            what: The name of an attribute.
        """
        began = clock.now()
        try:
            yield
        finally:
            setattr(self, what, getattr(self, what) + clock.now() - began)
