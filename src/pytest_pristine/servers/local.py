"""The source `local`: a server of our own, from programs that somebody installed on this machine."""

from __future__ import annotations

from pytest_pristine import operating_system
from pytest_pristine.servers import installations, shared
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Rejection
from pytest_pristine.settings import Settings


class Local:
    """The newest installation that will do. The server is ours: one that runs on the machine is not touched."""

    name = "local"

    def look(self, settings: Settings, needs: Needs) -> Found | Rejection:
        """Look for programs: those that are configured, else pg_config's, those in PATH, those of packages.

        Raises:
            SettingError: There are none where the setting says.
        """
        installed = installations.on_this_machine(settings.postgres_bin)
        reasons = []
        for installation in installed:
            reason = installation.reason_against(needs)
            if reason is None:
                return shared.found(self.name, settings, installation)
            reasons.append(f"{installation.installed.directory}: {reason}")
        remedy = operating_system.how_to_install_postgres(needs.version.value)
        if not installed:
            reason = "no Postgres programs are named by pg_config, in PATH, or where packages put them"
            return Rejection(self.name, reason, remedy)
        if needs.extensions:
            remedy += ", and the packages of its extensions"
        notable = needs.any_version_of(installation.major for installation in installed)
        return Rejection(self.name, "; ".join(reasons), remedy, notable)
