"""What random tests do: all kinds of operations, in one list."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from tests.oracle import definitions, privileges, rows, sessions, upkeep
from tests.oracle.dice import Dice
from tests.oracle.model import Model
from tests.oracle.stories import CLIENTS, ROOT, Step

Operation = Callable[[Dice, Model, str], Sequence[Step]]

# Each as often as its number says. What may make a schema another is rare: after it nothing else is looked at.
_OPERATIONS: tuple[tuple[int, Sequence[Operation]], ...] = (
    (6, rows.OPERATIONS),
    (3, sessions.OPERATIONS),
    (2, upkeep.OPERATIONS),
)
_DEFINING: tuple[tuple[int, Sequence[Operation]], ...] = (
    (3, definitions.OPERATIONS),
    (1, privileges.OPERATIONS),
)


def _weighted(groups: Sequence[tuple[int, Sequence[Operation]]]) -> list[Sequence[Operation]]:
    return [operations for weight, operations in groups for _ in range(weight)]


_PLAIN, _ALL = _weighted(_OPERATIONS), _weighted((*_OPERATIONS, *_DEFINING))


def operations(dice: Dice, model: Model, most: int) -> list[Step]:
    """Some operations, by several sessions."""
    groups = _ALL if dice.chance(3) else _PLAIN
    steps: list[Step] = []
    for _ in range(dice.number(0, most)):
        who = ROOT if dice.chance(8) else dice.pick(CLIENTS)
        steps += dice.pick(dice.pick(groups))(dice, model, who)
    return steps
