"""The product at the interface that is measured: all that the benchmark knows of its inside."""

from __future__ import annotations

from typing import NoReturn

from sqlalchemy.engine import URL

from pytest_pristine.isolation.catalogue import Coverage
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.postgres import capabilities, connections

# Seconds to wait for a lock: the default of `pristine_restore_timeout`.
_TIMEOUT = 5.0


class Product:
    """Restores a database to what it holds now."""

    def __init__(self, url: URL) -> None:
        """Record the baseline.

        Args:
            url: The database.
        """
        with connections.connect(url, "bench") as connection:
            can = capabilities.inspect(connection)
        self._isolation = Isolation(url, Coverage(), capabilities=can, timeout=_TIMEOUT, rebuild=_refuse)
        self.restore = self._isolation.restore
        self.prepare = self._isolation.prepare

    def close(self) -> None:
        """Give the baseline up."""
        self._isolation.close()


def _refuse() -> NoReturn:
    """Nothing that is measured changes the schema: a database that had to be made anew is no figure."""
    raise AssertionError("the product took the database for spoiled")
