"""Stories that go wrong, made shorter: statement after statement is left out as long as they go wrong the same way."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

from tests.oracle.places import World
from tests.oracle.stage import Spoiled, play
from tests.oracle.stories import Step, Story

_T = TypeVar("_T")


def reduce(world: World, story: Story, kind: str, seconds: float) -> Story:
    """The shortest story found within a time that goes wrong like this one."""
    end = time.monotonic() + seconds

    def fails(candidate: Story) -> bool:
        if time.monotonic() > end:
            return False
        try:
            play(world, candidate)
        except Spoiled as spoiled:
            return spoiled.kind == kind
        except Exception:  # noqa: BLE001 - another failure is not this one
            return False
        return False

    def with_steps(steps: Sequence[Step]) -> Story:
        return replace(story, steps=tuple(steps))

    def with_ddl(ddl: Sequence[str]) -> Story:
        return replace(story, ddl=tuple(ddl))

    before = None
    while story != before and time.monotonic() < end:
        before = story
        story = with_steps(_shorten(story.steps, lambda steps: fails(with_steps(steps))))
        story = with_ddl(_shorten(story.ddl, lambda ddl: fails(with_ddl(ddl))))
    return story


def _shorten(items: Sequence[_T], fails: Callable[[Sequence[_T]], bool]) -> Sequence[_T]:
    size = max(len(items) // 2, 1)
    while True:
        start = 0
        while start < len(items):
            fewer = [*items[:start], *items[start + size :]]
            if fails(fewer):
                items = fewer
            else:
                start += size
        if size == 1:
            return items
        size = max(size // 2, 1)
