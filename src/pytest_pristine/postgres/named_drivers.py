"""The drivers that a URL and the settings name: each must be installed before anything is tested with it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from sqlalchemy.engine import URL
from sqlalchemy.exc import ArgumentError, NoSuchModuleError

from pytest_pristine.errors import DriverError
from pytest_pristine.settings import Settings
from pytest_pristine.settings.exports import PARTS

# The distributions of drivers whose name is another.
_DISTRIBUTIONS = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "psycopg_async": "psycopg[binary]"}


@dataclass(frozen=True, slots=True)
class Driver:
    """A driver that somebody named.

    Attributes:
        subject: What it is for, for people: "driver of the URL".
        name: As a URL begins with it: `postgresql+asyncpg`.
        origin: Where it was named.
        instead: What else may be named there.
    """

    subject: str
    name: str
    origin: str
    instead: str

    def __str__(self) -> str:
        return f"{self.name} ({self.origin})"

    def check(self) -> None:
        """Check that it can be imported.

        Raises:
            DriverError: It cannot, or SQLAlchemy does not know it.
        """
        url = URL.create(self.name)
        try:
            url.get_dialect().import_dbapi()
        except (NoSuchModuleError, ArgumentError):
            raise DriverError(
                f"the {self.subject}", f"{self}, which SQLAlchemy does not know",
                [f"name a driver that it knows in {self.origin}, or none: {self.instead}"],
            ) from None  # fmt: skip
        except ImportError as error:
            driver = url.get_driver_name()
            raise DriverError(
                f"the {self.subject}", f"{self}, which cannot be imported: {error}",
                [
                    f'pip install "{_DISTRIBUTIONS.get(driver, driver)}"',
                    f"or name no driver in {self.origin}: {self.instead}",
                ],
            ) from None  # fmt: skip


def of_url(url: URL, origin: str) -> Driver:
    """The driver that a URL names, or has because it names none."""
    return Driver("driver of the URL", url.drivername, origin, "postgresql://…")


def of_settings(settings: Settings) -> Iterator[Driver]:
    """Those of the settings for drivers, and of variables that the application is given."""
    for setting, fixture in ((settings.driver, "postgres_engine"), (settings.async_driver, "postgres_async_engine")):
        if setting.value is not None:
            yield Driver(f"driver of {fixture}", f"postgresql+{setting.value}", setting.origin, "leave it empty")
    for export in settings.export.value:
        # Without a driver it is the application's to choose one.
        if export.form not in PARTS and "+" in export.form:
            yield Driver(f"driver of {export.name}", export.form, settings.export.origin, f"{export.name} = postgresql")


def check(settings: Settings) -> None:
    """Check those of the settings.

    Raises:
        DriverError: One cannot be imported.
    """
    for driver in of_settings(settings):
        driver.check()
