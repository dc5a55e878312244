"""Databases of single tests: how many will be asked for, and what becomes of one when its test is over."""

from __future__ import annotations

import functools
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.errors import NoTemplateError, PristineError
from pytest_pristine.plugin import collection, covering, recording
from pytest_pristine.warnings import LeftoverWarning

if TYPE_CHECKING:
    from pytest_pristine.plugin.recording import Equipment
    from pytest_pristine.templates.copies import Source
    from pytest_pristine.templates.fresh import FreshDatabase
    from pytest_pristine.templates.pool import Pool
    from pytest_pristine.templates.provider import PostgresServer
    from pytest_pristine.templates.workspace import Workspace
    from pytest_pristine.verify.checkouts import Checkouts

# The process that collected the tests, and how many of these ask for a database of their own.
_EXPECTED = pytest.StashKey[tuple[int, int]]()
# The test has a database of its own at the moment.
_HAS_ONE = pytest.StashKey[bool]()


def expect(session: pytest.Session) -> None:
    """Count the tests that ask for a database of their own."""
    number = sum(1 for item in session.items if collection.wants_fresh(item))
    session.config.stash[_EXPECTED] = (os.getpid(), number)


def _expected(config: pytest.Config) -> int:
    """How many tests of this process will ask for one. One that runs each test in a fork cannot make them before."""
    collector, number = config.stash.get(_EXPECTED, (os.getpid(), 0))
    return number if collector == os.getpid() else 0


def prepare(config: pytest.Config, server: PostgresServer) -> None:
    """Leave connections to databases of single tests, if there will be any."""
    server.fresh = server.fresh or config.stash.get(_EXPECTED, (0, 0))[1] > 0


def begin(config: pytest.Config, equipment: Equipment, server: PostgresServer, workspace: Workspace) -> None:
    """Have databases made while other tests run, if tests will ask for them and can be given any."""
    prepare(config, server)
    if _expected(config) and _source(workspace) is not None:
        with suppress(PristineError):  # it is told to the test that asks
            equipment.pool = _pool(config, server, workspace)


@contextmanager
def given(
    equipment: Equipment, server: PostgresServer, workspace: Workspace, node: pytest.Item
) -> Iterator[FreshDatabase]:
    """A database for one test.

    Raises:
        NoTemplateError: There is no template that it could be a copy of.
        PristineError: It cannot be made.
    """
    from pytest_pristine.verify.checkouts import Checkouts  # heavy, and most runs need none

    source = _source(workspace)
    if source is None:
        raise _no_template(server, workspace)
    if equipment.pool is None:
        equipment.pool = _pool(node.config, server, workspace)
    pool = equipment.pool
    covering.pass_over_fresh(equipment)
    fresh = pool.take(source)
    node.stash[_HAS_ONE] = True
    checkouts = Checkouts()
    fresh.on_engine(functools.partial(checkouts.attend, fixture="fresh_database"))
    try:
        with checkouts.within(node.nodeid):
            yield fresh
    finally:
        node.stash[_HAS_ONE] = False
        try:
            _look(pool, fresh, checkouts, node)
        finally:
            if recording.has_failed(node) and equipment.keeps:
                _keep(equipment, pool, fresh, node)
            pool.give_back(fresh)


def has_one(item: pytest.Item) -> bool:
    """Whether a test has a database of its own at the moment: one may have been refused."""
    return item.stash.get(_HAS_ONE, False)


def end(equipment: Equipment) -> None:
    """Make no more databases."""
    if equipment.pool is not None:
        equipment.pool.close()


def _source(workspace: Workspace) -> Source | None:
    """What it is a copy of at the moment. A project may give a workspace of its own making."""
    source = getattr(workspace, "source", None)
    return None if source is None else source()


def _pool(config: pytest.Config, server: PostgresServer, workspace: Workspace) -> Pool:
    from pytest_pristine.postgres import engines  # heavy, and most runs need none
    from pytest_pristine.templates.pool import Demand, Pool  # the same

    source = _source(workspace)
    assert source is not None, "whoever calls has looked"  # noqa: S101 - for the type
    connections, waiting = server.fresh_connections
    hide = server.settings.parameters.value == "hide"
    return Pool(
        source,
        workspace.url,
        functools.partial(engines.create, connections=connections, hide_parameters=hide),
        demand=Demand(_expected(config), server.workers),
        opened=waiting,
        revive=server.revive,
    )


def _look(pool: Pool, fresh: FreshDatabase, checkouts: Checkouts, node: pytest.Item) -> None:
    """End what a test left open in its database, and name the test."""
    from pytest_pristine.verify import left_open  # heavy, and most runs need none

    left = checkouts.left(node.nodeid)
    fresh.dispose()
    others = left_open.remaining(lambda: pool.sessions(fresh), fresh.pids)
    left += [left_open.described(each) for each in others]
    if left:
        pool.end_sessions(fresh)
        recording.of_test(node).connections += left
        node.warn(LeftoverWarning(f"{node.nodeid} left in its fresh_database {', '.join(left)}; it was ended"))


def _keep(equipment: Equipment, pool: Pool, fresh: FreshDatabase, node: pytest.Item) -> None:
    """Keep the database of a failed test, if there is room for it."""
    import psycopg  # heavy, and loaded by now

    record = recording.of_test(node)
    if recording.has_kept(node):
        return  # there is one database to be opened for each test
    try:
        # It may have one from when it was run before.
        record.kept = pool.keep(fresh, node.nodeid, equipment.settings.keep_failed.value) or record.kept
    except (PristineError, psycopg.Error) as error:
        said = error.found if isinstance(error, PristineError) else str(error).strip()
        problem = f"the fresh_database of {node.nodeid} is not kept: {said}"
        recording.of_process(node.config).problems.append(problem)


def _no_template(server: PostgresServer, workspace: Workspace) -> NoTemplateError:
    from psycopg import sql  # heavy, and loaded by now

    sought = "a template, of which fresh_database is a copy"
    if server.server.in_place:
        role = server.capabilities.role
        statement = sql.SQL("ALTER ROLE {} CREATEDB").format(sql.Identifier(role)).as_string(None)
        found = f"the role {role!r}, which may make no databases: tests work in the one that was named"
        return NoTemplateError(sought, found, [f"as a superuser: {statement}"])
    return NoTemplateError(
        sought,
        f"apply_migrations gives a {type(workspace).__name__} that was copied from none",
        ["have apply_migrations yield what postgres_server.migrated_database(...) gives"],
    )
