"""Choosing a server: the sources in order, the first that has one, and why the others have none."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace

import psycopg
from psycopg import sql
from sqlalchemy.engine import URL

from pytest_pristine.errors import (
    BinariesError,
    NoServerError,
    NotOursError,
    PristineError,
    PrivilegeError,
    RefusedError,
    StartError,
    UnfitError,
    VersionError,
)
from pytest_pristine.postgres import budget, capabilities, connections, contents, databases, extensions, marks, urls
from pytest_pristine.postgres.capabilities import Capabilities
from pytest_pristine.postgres.connections import Connection
from pytest_pristine.servers.docker import Docker
from pytest_pristine.servers.embedded import Embedded
from pytest_pristine.servers.local import Local
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.needs import read as read_needs
from pytest_pristine.servers.server import Server
from pytest_pristine.servers.sources import Found, Offer, Rejection, Source
from pytest_pristine.servers.up import Up
from pytest_pristine.servers.url import Url
from pytest_pristine.settings import OLDEST_MAJOR, Settings

AUTO = "auto"
# How often a server that refuses a connection is asked, and the seconds between.
_ATTEMPTS = 8
_PAUSE = 0.25
# Migrations may create an extension on some condition only.
_NOT_REALLY = "or, if the tests need no such extension: pristine_extensions = (empty) in the ini file"
SOURCES: tuple[Source, ...] = (Url(), Up(), Embedded(), Local(), Docker())


def resolve(settings: Settings, needs: Needs | None = None, sources: Sequence[Source] = SOURCES) -> Server:
    """Find or start the server that the settings ask for.

    Args:
        settings: The settings.
        needs: What the server must have; what the settings say when it is not given.
        sources: Where to look, in this order.

    Raises:
        NoServerError: No source has one; each is listed with its reason.
        ServerError: One that was asked for by name cannot be used.
        NotOursError: Its database is neither ours nor empty.
    """
    needs = needs or read_needs(settings)
    wanted = settings.server.value
    rejections: list[Rejection] = []
    for source in sources:
        if wanted not in (AUTO, source.name):
            continue
        answer = _ask(source, settings, needs)
        if isinstance(answer, Server):
            return replace(answer, passed_over=tuple(rejections))
        rejections.append(answer)
    raise NoServerError(
        f"a Postgres server{needs} ({settings.server.origin}: {wanted})",
        "\n".join(f"{rejection.source}: {rejection.reason}" for rejection in rejections),
        [
            *(f"{rejection.source}: {rejection.remedy}" for rejection in rejections if rejection.remedy),
            *_elsewhere(settings, needs, [source for source in sources if wanted not in (AUTO, source.name)]),
            *([_NOT_REALLY] if needs.extensions else []),
        ],
    )


def _elsewhere(settings: Settings, needs: Needs, sources: Sequence[Source]) -> Iterator[str]:
    """Which of the sources that were not asked have a server that may do."""
    for source in sources:
        with contextlib.suppress(PristineError):
            found = source.look(settings, needs)
            if isinstance(found, Found):
                yield f"or --pristine-server={source.name}: {found.what}"


def _ask(source: Source, settings: Settings, needs: Needs) -> Server | Rejection:
    """Have a source's server, if it has one that will do.

    A database that another run is just emptying lets nobody in for a moment.
    """
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(RefusedError):
            return _ask_once(source, settings, needs)
        time.sleep(_PAUSE)
    return _ask_once(source, settings, needs)


def _ask_once(source: Source, settings: Settings, needs: Needs) -> Server | Rejection:
    found = source.look(settings, needs)
    if isinstance(found, Rejection):
        return found
    try:
        offer = found.open()
    except (StartError, BinariesError) as error:
        if settings.server.value == source.name:
            raise
        return Rejection(source.name, f"{error.sought}: {error.found}", "; ".join(error.remedy), notable=True)
    try:
        return _inspect(source.name, offer, settings, needs)
    except psycopg.errors.AdminShutdown as error:
        raise RefusedError(f"the Postgres at {urls.show(offer.url)} ({offer.how})", str(error).strip()) from None


def _inspect(source: str, offer: Offer, settings: Settings, needs: Needs) -> Server | Rejection:
    """Look at what was offered, and give it back if it cannot be used."""
    try:
        with _connect(offer) as connection:
            can = capabilities.inspect(connection)
            _check_version(can, offer)
            reason = _reason_against(connection, can, needs)
            if reason is not None:
                return _reject(source, offer, needs, reason)
            # Databases that every cluster has are never ours: the run makes databases of its own beside them.
            target = None if offer.target in connections.MAINTENANCE_DATABASES else offer.target
            _check_privileges(can, offer, target)
            if target is not None:
                _check_ours(connection, target, offer, settings, in_place=not can.createdb)
            spent = budget.read(connection, target)
        return Server(source, _maintenance(offer.url, in_place=not can.createdb), target, can, (), offer, spent)
    except BaseException:
        offer.release()
        raise


def _connect(offer: Offer) -> Connection:
    """Connect to what was offered.

    Raises:
        RefusedError: It is a database of the user's, and just being exchanged for another by a run that works in it.
        UnreachableError: There is no connection to be had.
    """
    if offer.target is None:
        return connections.connect(offer.url, "inspect")
    connection = connections.connect_or_explain(offer.url, "inspect", offer.how)
    try:
        connections.make_ours(connection)
    except BaseException:
        connection.close()
        raise
    return connection


def _reason_against(connection: Connection, can: Capabilities, needs: Needs) -> str | None:
    """What the server lacks of what the project needs; None when it has everything."""
    reason = needs.reason_against_version(can.major)
    if reason is None and needs.extensions:
        reason = needs.reason_against_extensions(can.major, extensions.available(connection))
    return reason


def _reject(source: str, offer: Offer, needs: Needs, reason: str) -> Rejection:
    """Give a server back that lacks something.

    Raises:
        UnfitError: The user named this very server for this run.
    """
    if offer.named:
        raise UnfitError(
            f"a Postgres server{needs} at {urls.show(offer.url)} ({offer.how})",
            reason,
            [f"name another server, or remove {offer.how}: one is then found or started"],
        )
    offer.release()
    return Rejection(source, f"{reason} ({offer.how})", notable=True)


def _maintenance(url: URL, *, in_place: bool) -> URL:
    """A database where our locks meet those of other runs and that no run renames or drops.

    A run in place renames and drops none: where its role can connect to no other, its locks are in the one it named.
    """
    for name in connections.MAINTENANCE_DATABASES:
        if url.database == name or connections.answers(url.set(database=name)):
            return url.set(database=name)
    if in_place:
        return url
    raise PrivilegeError(
        f"a database for maintenance on {urls.show(url)}: {' or '.join(connections.MAINTENANCE_DATABASES)}",
        f"the role {url.username!r} can connect to neither",
        [f"GRANT CONNECT ON DATABASE postgres TO {_identifier(str(url.username))}"],
    )


def _check_version(can: Capabilities, offer: Offer) -> None:
    if can.major < OLDEST_MAJOR:
        raise VersionError(
            f"PostgreSQL {OLDEST_MAJOR} or newer at {urls.show(offer.url)} ({offer.how})",
            f"PostgreSQL {can.version_text}",
            ["name a newer server, or none: one is then found or started"],
        )


def _check_privileges(can: Capabilities, offer: Offer, target: str | None) -> None:
    """Refuse a role that may make no databases and was given none."""
    if not can.createdb and target is None:
        role = _identifier(can.role)
        raise PrivilegeError(
            f"a role that may create databases on {urls.show(offer.url)} ({offer.how})",
            f"the role {can.role!r}, which may not, and no database of its own to work in: "
            f"{offer.url.database!r} is one that every server has",
            [
                f"as a superuser: ALTER ROLE {role} CREATEDB",
                f"or, as a superuser: CREATE DATABASE app_test OWNER {role}; and name it in {offer.how}",
            ],
        )


def _check_ours(connection: Connection, target: str, offer: Offer, settings: Settings, *, in_place: bool) -> None:
    """Refuse a database with anything in it that we did not put there; mark one that is empty as ours.

    In place a claimed one need not be the role's own. It then stays without a mark, and has to be claimed each time.
    """
    if databases.find(connection, target) is not None:
        return
    found = contents.describe(connection)
    if found is not None and settings.claim.value != target:
        raise NotOursError(
            f"a database that may be emptied: {target!r} ({offer.how})",
            f"{found}, and no mark of ours. Nothing was touched",
            [
                f"name an empty database in {offer.how}: one is made by createdb",
                f"or, if everything in it may be destroyed: pytest --pristine-claim={target}",
            ],
        )
    try:
        databases.set_mark(connection, target, marks.Mark(marks.TARGET, run="", project=""))
    except psycopg.errors.InsufficientPrivilege:
        if in_place and settings.claim.value == target:
            return
        raise PrivilegeError(
            f"to mark the database {target!r} as ours",
            f"the role {connection.info.user!r} does not own it",
            [
                f"ALTER DATABASE {_identifier(target)} OWNER TO {_identifier(connection.info.user)}",
                *([f"or, each time: pytest --pristine-claim={target}"] if in_place else []),
            ],
        ) from None


def _identifier(name: str) -> str:
    return sql.Identifier(name).as_string(None)
