"""Users, computers and nodes through AiiDA's own models."""

from __future__ import annotations

import pytest
from aiida.storage.psql_dos.models.computer import DbComputer
from aiida.storage.psql_dos.models.node import DbNode
from aiida.storage.psql_dos.models.settings import DbSetting
from aiida.storage.psql_dos.models.user import DbUser
from sqlalchemy import Engine, func, select, text
from sqlalchemy.orm import Session

pytestmark = pytest.mark.usefixtures("proven_clean")


@pytest.mark.parametrize("attempt", [1, 2])
def test_node_is_stored(postgres_engine: Engine, attempt: int) -> None:
    """A user and a node get the first identifiers in every test."""
    with Session(postgres_engine) as session:
        user = DbUser(email="somebody@example.org")
        session.add(user)
        session.flush()
        node = DbNode(node_type="data.core.int.Int.", user_id=user.id, label="one", attributes={"value": 1}, extras={})
        session.add(node)
        session.commit()
        assert (user.id, node.id) == (1, 1)


def test_computer_is_deleted(postgres_engine: Engine) -> None:
    """A computer is added and deleted: what is left is a sequence that moved on."""
    with Session(postgres_engine) as session:
        computer = DbComputer(
            label="cluster", hostname="localhost", description="", scheduler_type="core.direct",
            transport_type="core.local", metadata={},
        )  # fmt: skip
        session.add(computer)
        session.commit()
        session.delete(computer)
        session.commit()
        assert session.scalar(select(func.count()).select_from(DbComputer)) == 0


def test_setting_is_kept(postgres_engine: Engine) -> None:
    """A setting is written."""
    with Session(postgres_engine) as session:
        session.add(DbSetting(key="repository|uuid", val="0", description="acceptance"))
        session.commit()


def test_version_row_is_changed(postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is changed to one of another head."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("UPDATE alembic_version SET version_num = 'django_0050'")).rowcount == 1
