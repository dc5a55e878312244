"""Layers in a run of pytest: that the database stands where a test wants it, in whatever order tests are run.

A test wants the layer that its own `postgres_baseline` gives. What lives longer than a test, such as `postgres_engine`,
cannot ask for a fixture of its module: so whoever overrides `postgres_baseline` has it set up before the first fixture
that leads to the database.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

import pytest

from pytest_pristine.plugin import collection, covering, recording

if TYPE_CHECKING:
    from _pytest.scope import Scope

    from pytest_pristine.isolation.isolation import Isolation
    from pytest_pristine.isolation.layers import Layers
    from pytest_pristine.templates.workspace import Workspace

_BASELINE, _DATABASE = "postgres_baseline", "apply_migrations"
# The fixtures that are being set up, the innermost last.
_SETTING_UP = pytest.StashKey[list[pytest.FixtureDef[object]]]()


def begin(config: pytest.Config, workspace: Workspace, isolation: Isolation, *, is_as_made: bool) -> Layers:
    """The layers of this process, of which none is entered.

    Args:
        config: pytest's configuration.
        workspace: The database.
        isolation: Restores it.
        is_as_made: Nobody has written to it since it was made.
    """
    from pytest_pristine.isolation.layers import Layers  # heavy, and most runs need none

    def by() -> object:
        setting_up = config.stash.get(_SETTING_UP, [])
        return setting_up[-1] if setting_up else None

    @contextmanager
    def around() -> Iterator[None]:
        with _switching(config):
            yield

    return Layers(workspace, isolation, config.rootpath, is_as_made=is_as_made, by=by, around=around)


def is_as_made(request: pytest.FixtureRequest) -> bool:
    """Whether `apply_migrations` is our own, which writes nothing to the database by hand."""
    definition = getattr(request, "_fixture_defs", {}).get(_DATABASE)
    return definition is not None and collection.is_ours(definition)


def foresee(items: Sequence[pytest.Item]) -> None:
    """Have the baseline of a project set up before anything else of a test that leads to the database.

    Args:
        items: Tests that will ask for a database.
    """
    for item in items:
        found = collection.definitions(item, _BASELINE)
        names: list[str] = getattr(item, "fixturenames", [])
        if found and not collection.is_ours(found[-1]) and isinstance(names, list):
            _put_first(item, names, found[-1])


def _put_first(item: pytest.Item, names: list[str], baseline: pytest.FixtureDef[object]) -> None:
    """Put the baseline before the first fixture that leads to the database and does not live longer."""
    if _BASELINE in names:
        names.remove(_BASELINE)
    place = next(
        (
            place
            for place, name in enumerate(names)
            if _scope(item, name, baseline) <= baseline._scope and collection.leads_to_database(item, name)  # noqa: SLF001 - there is no public way
        ),
        len(names),
    )
    names.insert(place, _BASELINE)


def _scope(item: pytest.Item, name: str, baseline: pytest.FixtureDef[object]) -> Scope:
    """How long a fixture lives; what is no fixture, such as a parameter, no longer than any."""
    found = collection.definitions(item, name)
    return found[-1]._scope if found else min(type(baseline._scope))  # noqa: SLF001 - there is no public way


@pytest.hookimpl(wrapper=True)
def pytest_fixture_setup(
    fixturedef: pytest.FixtureDef[object], request: pytest.FixtureRequest
) -> Generator[None, object, object]:
    """Note which fixture is set up: it may enter a layer."""
    equipment = recording.equipment(request.config)
    item = getattr(request, "_pyfuncitem", None)
    if equipment is not None and item is not None and fixturedef.argname != _BASELINE and equipment.layers.is_left:
        _settle_for(equipment.layers, item, fixturedef.argname)
    setting_up = request.config.stash.setdefault(_SETTING_UP, [])
    setting_up.append(fixturedef)
    try:
        return (yield)
    finally:
        setting_up.pop()


def _settle_for(layers: Layers, item: pytest.Item, name: str) -> None:
    """Do not have a fixture that is set up once find a layer by chance, that of a test before."""
    if collection.leads_to_database(item, name):
        layers.stand_on(layers.wanted(_seen_by(item)))


def settle(layers: Layers, item: pytest.Item) -> None:
    """Have the database stand where a test wants it.

    A project's baseline that is not set up yet has it stand there when it is: nothing is switched twice.

    Raises:
        PristineError: It cannot.
    """
    found = collection.definitions(item, _BASELINE)
    if not found or not (collection.needs_server(item) or collection.names_ours(item)):
        return
    if collection.is_ours(found[-1]) or (found[-1].cached_result is not None and found[-1].cached_result[2] is None):
        layers.stand_on(layers.wanted(_seen_by(item)))


def _seen_by(item: pytest.Item) -> Callable[[object], bool]:
    """Whether a test knows of the fixture that has entered a layer: it asks for it, or it is its baseline."""

    def sees(by: object) -> bool:
        if by is None:
            return True  # the test itself
        if not isinstance(by, pytest.FixtureDef):
            return False
        asked = by.argname == _BASELINE or by.argname in getattr(item, "fixturenames", ())
        in_sight = collection.definitions(item, by.argname)
        return asked and any(each is by for each in in_sight)

    return sees


@contextmanager
def _switching(config: pytest.Config) -> Iterator[None]:
    """Keep apart what tests do, and what it takes to switch between two of them."""
    equipment = recording.equipment(config)
    if equipment is None:
        yield
        return
    if equipment.coverage is not None:
        equipment.coverage.after_test()  # of what was done last, before its sessions are gone
    try:
        with equipment.recorder.paused():
            yield
    finally:
        covering.leave_out(equipment, None)
    equipment.since.clear()
