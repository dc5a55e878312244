"""Getting a process ready to run tests on a database."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import covering, layering, recording
from pytest_pristine.plugin.recording import Equipment

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace


def equip(
    config: pytest.Config, server: PostgresServer, workspace: Workspace, *, is_as_made: bool = False
) -> Equipment:
    """Record what the migrations left, and listen to what tests do.

    Args:
        config: pytest's configuration.
        server: Where the database is.
        workspace: The database.
        is_as_made: Nobody has written to it since it was made.

    Raises:
        PristineError: The database cannot be restored to what it is.
    """
    from pytest_pristine.isolation.catalogue import Coverage  # heavy, and most runs need none
    from pytest_pristine.isolation.isolation import Isolation  # the same
    from pytest_pristine.postgres.session_state import SessionState  # the same
    from pytest_pristine.verify.checkouts import Checkouts  # the same
    from pytest_pristine.verify.statements import Recorder  # the same

    settings = server.settings
    # It takes a connection for a moment; later on there may be no other to be had.
    recording.migrated(config, workspace)
    isolation = Isolation(
        workspace.url,
        Coverage(settings.include.value, settings.exclude.value),
        capabilities=server.capabilities,
        timeout=settings.restore_timeout.value,
        rebuild=workspace.rebuild,
        hold=workspace.hold,
        proof=settings.proof.value,
        uncounted=covering.is_wanted(settings),
    )
    recorder = Recorder(settings.statements.value, shapes=bool(settings.report.value))
    keeps = bool(settings.keep_failed.value)
    layers = layering.begin(config, workspace, isolation, is_as_made=is_as_made)
    equipment = Equipment(settings, isolation, workspace, recorder, layers, Checkouts(), SessionState(), keeps=keeps)
    if equipment.keeps and workspace.template is None:
        equipment.keeps = False
        recording.of_process(config).problems.append(
            "databases of failed tests are not kept: the role may make no other databases"
        )
    # It began without us: it is the first to ask for a database.
    if (test := recording.current(config)) is not None:
        equipment.note(test)
    covering.begin(equipment, server)
    recording.equip(config, equipment)
    return equipment


@contextmanager
def attending(equipment: Equipment, engine: AsyncEngine) -> Iterator[None]:
    """While tests use an asynchronous engine: know its connections, and end them with it."""
    from pytest_pristine.postgres.loop_pool import LoopPool  # heavy, and loaded by now

    def pool() -> LoopPool:
        found = engine.sync_engine.pool
        assert isinstance(found, LoopPool)  # noqa: S101 - it was made with one, which makes others like it
        return found

    equipment.isolation.on_ended_sessions(lambda: pool().drop())
    equipment.checkouts.attend(engine.sync_engine, "postgres_async_engine")
    equipment.sessions.attend(engine.sync_engine)
    if equipment.coverage is not None:
        equipment.coverage.attach(engine.sync_engine)
    yield
    if equipment.coverage is not None:
        equipment.coverage.after_test()  # of what fixtures did last, before its sessions are gone
    pool().close()
