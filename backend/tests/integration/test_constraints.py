"""The database refuses by itself what the service never does."""

from collections.abc import Mapping
from enum import StrEnum
from itertools import permutations

import psycopg.errors
import pytest
from sqlalchemy import Connection, Engine, insert, select, text
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from backend.models import Run, RunStatus, Step, StepStatus
from backend.services.orchestrator import Orchestrator
from backend.services.orchestrator.states import RUN_MOVES, STEP_MOVES

from .helpers import graph, query, step

# What the CHECK constraints want of a row in each state.
SET_RUN = """
UPDATE runs SET status = CAST(:to AS run_status),
    finished_at = CASE WHEN :to NOT IN ('pending', 'running') THEN now() END
"""
SET_STEP = """
UPDATE steps SET status = CAST(:to AS step_status),
    job_id = 1, error = CASE WHEN :to = 'failed' THEN 'no' END
"""


@pytest.fixture
def _run(orchestrator: Orchestrator) -> None:
    orchestrator.submit("key", graph(step("a"), step("b", "a")))
    orchestrator.submit("other", graph(step("c")))


def refusal(engine: Engine, statement: str) -> psycopg.Error:
    """Run a statement that must fail, and return the driver's error."""
    with pytest.raises((IntegrityError, DataError)) as caught, engine.begin() as connection:
        connection.execute(text(statement))
    assert isinstance(caught.value.orig, psycopg.Error)
    return caught.value.orig


@pytest.mark.usefixtures("_run")
@pytest.mark.parametrize(
    ("statement", "error", "constraint"),
    [
        (
            "INSERT INTO runs (key, document) VALUES ('', '{}')",
            psycopg.errors.CheckViolation,
            "runs_key_not_empty",
        ),
        (
            "INSERT INTO runs (key, document) VALUES ('x', '[]')",
            psycopg.errors.CheckViolation,
            "runs_document_is_object",
        ),
        (
            "UPDATE runs SET finished_at = now()",
            psycopg.errors.CheckViolation,
            "runs_finished_at_matches_status",
        ),
        (
            "INSERT INTO runs (key, document) VALUES ('key', '{}')",
            psycopg.errors.UniqueViolation,
            "runs_live_key_idx",
        ),
        ("UPDATE steps SET name = 'a'", psycopg.errors.UniqueViolation, "steps_run_id_name_key"),
        ("UPDATE steps SET kind = 'teleport'", psycopg.errors.ForeignKeyViolation, "steps_kind_fkey"),
        (
            "UPDATE steps SET attempts = max_attempts + 1",
            psycopg.errors.CheckViolation,
            "steps_attempts_within_limit",
        ),
        ("UPDATE steps SET max_attempts = 0", psycopg.errors.CheckViolation, "steps_max_attempts_range"),
        (
            "UPDATE steps SET status = 'ready' WHERE name = 'b'",
            psycopg.errors.CheckViolation,
            "steps_active_has_job",
        ),
        ("UPDATE steps SET result = '1'", psycopg.errors.CheckViolation, "steps_result_only_of_success"),
        ("UPDATE steps SET error = 'no'", psycopg.errors.CheckViolation, "steps_error_only_of_failure"),
        (
            "UPDATE step_dependencies SET depends_on_id = step_id",
            psycopg.errors.CheckViolation,
            "step_dependencies_not_on_itself",
        ),
        (
            "UPDATE step_dependencies SET depends_on_id = (SELECT id FROM steps WHERE name = 'c')",
            psycopg.errors.ForeignKeyViolation,
            "step_dependencies_run_id_depends_on_id_fkey",
        ),
        ("UPDATE step_kinds SET retry_wait_s = -1", psycopg.errors.CheckViolation, None),
        ("DELETE FROM step_kinds", psycopg.errors.ForeignKeyViolation, "steps_kind_fkey"),
        ("UPDATE runs SET status = 'asleep'", psycopg.errors.InvalidTextRepresentation, None),
        ("UPDATE runs SET status = 'succeeded'", psycopg.errors.CheckViolation, "runs_legal_transition"),
    ],
)
def test_broken_rule_is_named(
    postgres_engine: Engine, statement: str, error: type[psycopg.Error], constraint: str | None
) -> None:
    """Plain SQL that breaks a rule fails with the fitting error and the name of the rule."""
    found = refusal(postgres_engine, statement)
    assert isinstance(found, error)
    assert constraint in (None, found.diag.constraint_name)


def path_to(state: StrEnum, moves: Mapping[StrEnum, frozenset[StrEnum]], start: StrEnum) -> list[StrEnum]:
    """Return the shortest legal way from `start` to a state, without the start."""
    paths: list[list[StrEnum]] = [[]]
    for path in paths:
        last = path[-1] if path else start
        if last == state:
            return path
        paths += [[*path, following] for following in moves[last] if following not in path]
    raise AssertionError(state)


def is_legal(connection: Connection, statement: str, way: list[StrEnum], to: StrEnum) -> bool:
    """Walk a row to a state, and return whether the database lets it go on from there."""
    refusal = None
    with connection.begin() as transaction:
        for state in way:
            connection.execute(text(statement), {"to": state.value})
        try:
            connection.execute(text(statement), {"to": to.value})
        except IntegrityError as error:
            refusal = error.orig
        transaction.rollback()
    assert refusal is None or "illegal transition" in str(refusal)
    return refusal is None


@pytest.mark.parametrize(
    ("states", "moves", "statement"),
    [(RunStatus, RUN_MOVES, SET_RUN), (StepStatus, STEP_MOVES, SET_STEP)],
    ids=["runs", "steps"],
)
def test_python_and_database_have_the_same_state_machine(
    postgres_engine: Engine,
    states: type[StrEnum],
    moves: Mapping[StrEnum, frozenset[StrEnum]],
    statement: str,
) -> None:
    """For every pair of states, the trigger allows the move if and only if Python's table has it."""
    query(
        postgres_engine,
        "WITH run AS (INSERT INTO runs (key, document) VALUES ('key', '{}') RETURNING id)"
        " INSERT INTO steps (run_id, name, kind, max_attempts) SELECT id, 'a', 'echo', 1 FROM run",
    )
    with postgres_engine.connect() as connection:
        allowed = {
            (current, to)
            for current, to in permutations(states, 2)
            if is_legal(connection, statement, path_to(current, moves, states("pending")), to)
        }
    assert allowed == {(current, to) for current, following in moves.items() for to in following}


@pytest.mark.parametrize("table", ["runs", "steps"])
def test_rows_begin_as_pending(orchestrator: Orchestrator, postgres_engine: Engine, table: str) -> None:
    """A row cannot be inserted in the middle of its life."""
    run, _ = orchestrator.submit("key", graph(step("a")))
    statement = {
        "runs": insert(Run).values(key="x", document={}, status=RunStatus.RUNNING),
        "steps": insert(Step).values(run_id=run.id, name="x", kind="echo", max_attempts=1, status=StepStatus.SUCCEEDED),
    }[table]
    with Session(postgres_engine) as session, pytest.raises(IntegrityError, match=f"illegal transition >.* of {table}"):
        session.execute(statement)


def test_deleting_a_run_takes_what_belongs_to_it(orchestrator: Orchestrator, postgres_engine: Engine) -> None:
    """Steps, dependencies and journal go with their run, and only with theirs."""
    run, _ = orchestrator.submit("key", graph(step("a"), step("b", "a")))
    kept, _ = orchestrator.submit("other", graph(step("c")))
    with Session(postgres_engine) as session, session.begin():
        session.delete(session.get_one(Run, run.id))
    with Session(postgres_engine) as session:
        assert session.scalars(select(Step.run_id)).all() == [kept.id]
    assert orchestrator.events(run.id) == []
    assert orchestrator.events(kept.id) != []
