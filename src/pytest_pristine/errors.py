"""Every error a user can meet: what was sought, what was found, and what to type.

    PristineError
    ├── SettingError                a setting has a value that cannot be used
    ├── ServerError                 there is no Postgres to work with
    │   ├── NotAPostgresUrlError
    │   ├── UnreachableError        nothing answers at the address
    │   ├── AuthenticationError     it answers, and rejects the user or the password
    │   ├── UnknownDatabaseError    it answers, and has no database of that name
    │   ├── RefusedError            it answers, and refuses the connection for another reason
    │   ├── TlsError                it answers, and the encryption that was asked for cannot be had
    │   ├── PoolerError             a connection pooler before it that a run cannot work through
    │   ├── VersionError            the server is older than we support
    │   ├── UnfitError              the server that was named lacks what the project needs
    │   ├── PrivilegeError          the role may not do what the run needs
    │   ├── OccupiedError           another run works in the only database there is
    │   ├── BinariesError           Postgres binaries that are missing or cannot be executed
    │   ├── InUseError              a server that others use was to be stopped
    │   ├── NoRoomError             its disk is full
    │   ├── TooFewConnectionsError  it has not as many connections as the run needs
    │   ├── StartError              our own server did not come up
    │   ├── NoKeptDatabaseError     no database of a failed test was kept
    │   └── NoServerError           every source was tried and none had a server
    ├── NoTemplateError             there is no template that a test could be given a copy of
    ├── NotOursError                a database that we may not destroy
    ├── MigrationError              the schema could not be brought to head
    │   ├── AlembicConfigError      no alembic.ini, or several
    │   │   └── NoAlembicConfigError    nobody named one, and there is none
    │   ├── SeveralHeadsError
    │   ├── RevisionFailedError     a revision raised
    │   │   └── MissingExtensionError   it creates an extension that the server has not
    │   ├── StrayMigrationError     the migrations went, or would have gone, to another database
    │   ├── OfflineOnlyError        env.py writes SQL, and connects to nothing
    │   ├── StepConfigError         a step of the migrations names what is not there
    │   ├── StepFailedError         an SQL file, a command, a function or the models failed
    │   └── MigrationCheckError     a check of the migrations found something
    ├── LayerError                  data on top of the migrations could not be loaded
    ├── RestoreError                the database could not be put back
    │   ├── RestoreBlockedError     another session holds a lock
    │   └── UnprovenError           it was put back, and is not as it was all the same
    ├── DriverError                 a driver is not installed, or cannot work here
    ├── DeferredConstraintError     what a test left uncommitted violates a deferred constraint
    ├── SqliteUsedError             a guarded test opened SQLite
    └── ReportError                 the report could not be written

An error carries its three parts as data; `str(error)` lays them out for a terminal. No part ever holds a password.
"""

from __future__ import annotations

from collections.abc import Sequence


class PristineError(Exception):
    """The base of all errors that a user can mend.

    Attributes:
        sought: What the program was looking for or about to do.
        found: What it found instead.
        remedy: What to type or change, one line each.
    """

    def __init__(self, sought: str, found: str, remedy: Sequence[str] = ()) -> None:
        super().__init__(sought, found, remedy)
        self.sought = sought
        self.found = found
        self.remedy = tuple(remedy)

    def __str__(self) -> str:
        parts = [("sought", self.sought), ("found", self.found), *(("to do", line) for line in self.remedy)]
        return "\n".join(_entry(label, text) for label, text in parts)


def _entry(label: str, text: str) -> str:
    """Lay out one part, its further lines indented under the first."""
    indent = "\n" + " " * 9
    return f"{label + ':':<9}{indent.join(text.splitlines())}"


class SettingError(PristineError):
    """A setting has a value that cannot be used."""


class ServerError(PristineError):
    """There is no Postgres to work with."""


class NotAPostgresUrlError(ServerError):
    """A database URL does not name a Postgres."""


class UnreachableError(ServerError):
    """Nothing answers at the address."""


class AuthenticationError(ServerError):
    """The server rejects the user or the password."""


class UnknownDatabaseError(ServerError):
    """The server has no database of that name."""


class RefusedError(ServerError):
    """The server answers, and refuses the connection for another reason than the user, the password or the name."""


class TlsError(ServerError):
    """The server answers, and the encryption that the URL asks for cannot be had of it."""


class PoolerError(ServerError):
    """Something between us and the server lends us sessions in a way in which a run cannot work."""


class VersionError(ServerError):
    """The server is older than we support."""


class UnfitError(ServerError):
    """The server that the user named is not of the version, or has not the extensions, that the project needs."""


class PrivilegeError(ServerError):
    """The role may not do what the run needs."""


class OccupiedError(ServerError):
    """Another run, or another worker, works in the only database there is."""


class BinariesError(ServerError):
    """Postgres binaries are missing, or the account that must run them cannot."""


class InUseError(ServerError):
    """A server was to be stopped, and others use it."""


class NoRoomError(ServerError):
    """The server's disk has no room for another database."""


class TooFewConnectionsError(ServerError):
    """The server has not as many connections as the workers of the run need."""


class StartError(ServerError):
    """A server of our own did not come up."""


class NoServerError(ServerError):
    """Every source was tried and none had a server."""


class NoKeptDatabaseError(ServerError):
    """No database of a failed test was kept, or none of the name that was asked for."""


class NoTemplateError(PristineError):
    """There is no template that a test could be given a copy of."""


class NotOursError(PristineError):
    """A database does not carry our mark and is not empty; it was left untouched."""


class MigrationError(PristineError):
    """The schema could not be brought to head."""


class AlembicConfigError(MigrationError):
    """There is no Alembic configuration, or there are several."""


class NoAlembicConfigError(AlembicConfigError):
    """Nobody named an Alembic configuration, and there is none."""


class SeveralHeadsError(MigrationError):
    """The history ends in more than one revision."""


class RevisionFailedError(MigrationError):
    """A revision raised while it was applied."""


class MissingExtensionError(RevisionFailedError):
    """A migration creates an extension that is not installed on the server.

    Attributes:
        extension: Its name.
        by: The migration, for people.
    """

    def __init__(self, sought: str, found: str, remedy: Sequence[str] = (), extension: str = "", by: str = "") -> None:
        super().__init__(sought, found, remedy)
        self.extension = extension
        self.by = by


class StrayMigrationError(MigrationError):
    """The migrations went to another database than the one they were given, or tried to."""


class OfflineOnlyError(MigrationError):
    """An env.py that only writes SQL, as for `alembic upgrade --sql`, and connects to no database."""


class StepConfigError(MigrationError):
    """A step of the migrations is written wrongly, or names what is not there."""


class StepFailedError(MigrationError):
    """An SQL file, a command, a function or the models could not be applied."""


class MigrationCheckError(MigrationError):
    """A check of the migrations found something: see `pytest_pristine.migration_checks`."""


class LayerError(PristineError):
    """The data of a layer could not be loaded, or what they depend on cannot be told."""


class RestoreError(PristineError):
    """The database could not be put back as it was."""


class RestoreBlockedError(RestoreError):
    """Another session holds a lock that the restore needs."""


class UnprovenError(RestoreError):
    """The database was put back, and is not as it was all the same."""


class DriverError(PristineError):
    """A driver of a database is not installed, or cannot work where it is used."""


class DeferredConstraintError(PristineError):
    """What a test left uncommitted in its session violates a constraint that COMMIT would have checked."""


class SqliteUsedError(PristineError):
    """A guarded test opened a SQLite database, or made an engine that would."""


class ReportError(PristineError):
    """The report of a run could not be written."""
