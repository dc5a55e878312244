"""What a trial is, and drawing one: which process, which signal, when, and in which situation."""

from __future__ import annotations

import random
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

# Nothing is there; the server runs, and a run works on it; the server was stopped; the server is the user's.
KINDS = ("cold", "warm", "stopped", "external")
RUN, WORKER, KEEPER, POSTMASTER = "run", "worker", "keeper", "postmaster"
TARGETS = (RUN, WORKER, KEEPER, POSTMASTER)
SIGNALS = ("SIGKILL", "SIGTERM", "SIGINT")
# Workers of the victim: none is pytest without pytest-xdist.
WORKERS = (0, 2)
# Seconds that the server stays after the last run.
LINGERS = (0, 1)
# The second run starts within this part of the victim's life, where it does not start before.
_SOON = 0.6
# One of so many second runs has workers.
_SECOND_WITH_WORKERS = 4


@dataclass(frozen=True)
class Trial:
    """One death.

    Attributes:
        kind: One of KINDS.
        workers: How many workers the victim has.
        target: Which process dies: one of TARGETS.
        signal: Which signal it gets; empty for a trial in which nothing dies.
        linger: Seconds that the server stays after the last run.
        reaped: Whether somebody reaps orphans; in many containers nobody does.
        after: Seconds from the victim's start to the signal, if no phase is given.
        phase: The phase in which the signal is sent, as soon as it is reached; see `phases`.
        second: Seconds from the victim's start to that of the second run, where it is not there before.
        second_workers: How many workers the second run has.
    """

    kind: str
    workers: int
    target: str
    signal: str
    linger: int = 0
    reaped: bool = True
    after: float = 0.0
    phase: str = ""
    second: float = 0.5
    second_workers: int = 0

    @property
    def second_is_first(self) -> bool:
        """Whether the second run works already when the victim starts."""
        return self.kind in ("warm", "external")

    @property
    def whom(self) -> str:
        """The target for people."""
        if self.target == RUN:
            return "controller" if self.workers else "pytest"
        return self.target


@dataclass(frozen=True)
class Life:
    """How long what may be killed lives, in seconds from the victim's start.

    Attributes:
        begins: When each target was seen first.
        ends: When each target was seen last.
        linger: Seconds that the server stayed after the last run.
    """

    begins: Mapping[str, float]
    ends: Mapping[str, float]
    linger: int


Situation = tuple[str, int]


def situations(words: Collection[str] = ()) -> list[Situation]:
    """Kinds with numbers of workers; words that name kinds choose among them."""
    kinds = [kind for kind in KINDS if kind in words] or KINDS
    return [(kind, workers) for kind in kinds for workers in WORKERS if workers or WORKER not in words]


def draw(seed: int, number: int, lives: Mapping[Situation, Life], words: Collection[str] = ()) -> Trial:
    """The trial of a number.

    Args:
        seed: Other trials come of another.
        number: Which one.
        lives: What was measured.
        words: Kinds, targets and signals to choose among; where none of a sort is named, all of them.
    """
    dice = random.Random(f"{seed}:{number}")  # noqa: S311 - it is to be repeated
    targets = _chosen(TARGETS, words)
    able = [place for place in situations(words) if set(targets) & set(lives[place].begins)]
    kind, workers = dice.choice(able)
    life = lives[kind, workers]
    target = dice.choice([target for target in targets if target in life.begins])
    linger = dice.choice(LINGERS)
    end = life.ends[target] - (life.linger - linger if target in (KEEPER, POSTMASTER) and kind != "external" else 0)
    return Trial(
        kind, workers, target, dice.choice(_chosen(SIGNALS, words)), linger,
        reaped=dice.random() < 1 / 2,
        after=round(dice.uniform(life.begins[target], end), 3),
        second=round(dice.uniform(0, life.ends[RUN] * _SOON), 3),
        second_workers=WORKERS[-1] if dice.randrange(_SECOND_WITH_WORKERS) == 0 else 0,
    )  # fmt: skip


def _chosen(every: Sequence[str], words: Collection[str]) -> Sequence[str]:
    return [each for each in every if each in words] or every
