"""Flows, runs and variables through Prefect's own models, asynchronously."""

from __future__ import annotations

import pytest
from conftest import Transaction
from sqlalchemy import Engine, text
from sqlalchemy.ext.asyncio import AsyncSession


@pytest.mark.parametrize("attempt", [1, 2])
def test_flow_runs(transaction: Transaction, attempt: int) -> None:
    """A flow of the same name can be made in every test, with a run in a state: enumerated types are written."""
    from prefect.server import models, schemas

    async def make(session: AsyncSession) -> None:
        flow = await models.flows.create_flow(session, schemas.core.Flow(name="nightly"))
        run = schemas.core.FlowRun(flow_id=flow.id, name="first", state=schemas.states.Running())
        await models.flow_runs.create_flow_run(session, run)
        assert await models.flow_runs.count_flow_runs(session) == 1

    transaction(make)


def test_variable_is_set(transaction: Transaction) -> None:
    """A variable is made and deleted, another one is kept."""
    from prefect.server import models, schemas

    async def make(session: AsyncSession) -> None:
        for name in ("limit", "kept"):
            variable = schemas.actions.VariableCreate(name=name, value=10)
            await models.variables.create_variable(session, variable)
        assert await models.variables.delete_variable_by_name(session, "limit")

    transaction(make)


def test_version_row_is_deleted(proven_clean: None, postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is deleted, without Prefect."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("DELETE FROM alembic_version")).rowcount == 1
