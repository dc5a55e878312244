"""The source `embedded`: a server of our own, from programs that come as a wheel."""

from __future__ import annotations

from pytest_pristine.servers import installations, shared
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Rejection
from pytest_pristine.servers.wheels import WHEELS
from pytest_pristine.settings import Settings


class Embedded:
    """The first wheel that will do: PostgreSQL 18 comes with pytest-pristine, other versions can be installed."""

    name = "embedded"

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:
        """Look for a wheel whose server has what is needed."""
        configured = settings.postgres_bin
        if configured.value is not None and settings.server.value != self.name:
            return Rejection(self.name, f"{configured.origin} names other programs")
        installed = installations.of_wheels()
        reasons = []
        for installation in installed:
            reason = installation.reason_against(needs)
            if reason is None:
                return shared.found(self.name, settings, installation)
            reasons.append(reason)
        wanted = needs.version.value
        known = [wheel for wheel in WHEELS if wheel.site() is None and wanted in (None, wheel.major)]
        install = f"pip install {known[0].distribution}" if known else ""
        if not installed:
            return Rejection(self.name, f"the wheel {WHEELS[0].distribution} is not installed", install)
        notable = needs.any_version_of(installation.major for installation in installed)
        return Rejection(self.name, "; ".join(reasons), install if wanted is not None else "", notable)
