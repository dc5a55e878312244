"""The state machine: a random schema, then tests that do random things to it, and a restore after each."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import ClassVar, TypeVar

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule

from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.operations import operations
from tests.oracle.places import World
from tests.oracle.reduction import reduce
from tests.oracle.schemas import schema
from tests.oracle.stage import Spoiled, Stage
from tests.oracle.stories import PREPARE, RESTORE, Step, Story

# Operations of one test.
_MOST = 6
# Seconds to spend on making a story shorter, where a directory to keep it in was given.
_REDUCTION = float(os.environ.get("PRISTINE_ORACLE_REDUCE", "0"))
_DIRECTORY = os.environ.get("PRISTINE_ORACLE_STORIES")

_reduced: dict[Story, Story] = {}
_T = TypeVar("_T")

_models = st.composite(lambda draw: schema(Dice(draw)))()


@st.composite
def _steps(draw: st.DrawFn, model: Model) -> list[Step]:
    return operations(Dice(draw), model, _MOST)


class Machine(RuleBasedStateMachine):
    """Plays tests in one world; what it did is a story."""

    # What all examples did, for those who want to know.
    examples = 0
    restores = 0
    tally: ClassVar[Counter[tuple[str, bool]]] = Counter()
    refused: ClassVar[Counter[str]] = Counter()
    failed_ddl: ClassVar[Counter[str]] = Counter()

    def __init__(self, world: World) -> None:
        super().__init__()
        self.world = world
        self._stack = ExitStack()
        self._stage: Stage | None = None
        self._model = Model()
        self._is_spoiled = False

    @initialize(model=_models)
    def begin(self, model: Model) -> None:
        """Make the database."""
        self._model = model
        self._stage = self._guard(lambda: self._stack.enter_context(Stage(self.world, tuple(model.ddl))))

    @rule(data=st.data())
    def run_test(self, data: st.DataObject) -> None:
        """A test does what it likes, and is over."""
        self._perform(*data.draw(_steps(self._model)), RESTORE)

    @rule(data=st.data())
    def work_outside(self, data: st.DataObject) -> None:
        """Something happens between tests, and the next one begins."""
        self._perform(*data.draw(_steps(self._model)), PREPARE)

    def teardown(self) -> None:
        """The run is over."""
        try:
            if self._stage is not None and not self._is_spoiled:
                self._guard(self._stage.finish)
        finally:
            self._stack.close()
            if self._stage is not None:
                Machine.examples += 1
                Machine.tally += self._stage.tally
                Machine.refused += self._stage.refused
                Machine.restores += sum(step in (PREPARE, RESTORE) for step in self._stage.done)
                Machine.failed_ddl.update(
                    f"{why.splitlines()[0]} | {sql[:90]}" for sql, why in self._stage.place.failed
                )

    def _perform(self, *steps: Step) -> None:
        stage = self._stage
        assert stage is not None
        self._guard(lambda: stage.perform(*steps))

    def _guard(self, action: Callable[[], _T]) -> _T:
        """Do something, and tell the story if it goes wrong."""
        try:
            return action()
        except Spoiled as spoiled:
            self._is_spoiled = True
            text = f"{spoiled}\n{self._told(spoiled)}"
            if _DIRECTORY:
                world = self.world
                where = f"{world.server.major} {world.role.username} probing={world.probing}"
                (Path(_DIRECTORY) / f"{time.time_ns()}.txt").write_text(f"{where}\n{text}\n", encoding="utf-8")
            raise AssertionError(text) from spoiled

    def _told(self, spoiled: Spoiled) -> Story | None:
        if self._stage is None or not _REDUCTION:
            return None if self._stage is None else self._stage.story
        # Hypothesis plays a failing example once more.
        story = self._stage.story
        if story not in _reduced:
            _reduced[story] = reduce(self.world, story, spoiled.kind, _REDUCTION)
        return _reduced[story]
