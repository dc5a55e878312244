"""Pools, connections, variables and DAGs through Airflow's own models, on a database made by its own history."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager

import pytest
from sqlalchemy import Engine, delete, func, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

Sessions = Callable[[], AbstractContextManager[Session]]

# The fixture sets Airflow up, and no module of Airflow's may be imported before: the tests import what they use.
pytestmark = pytest.mark.usefixtures("airflow_session", "proven_clean")


def test_default_pool_is_changed(airflow_session: Sessions) -> None:
    """The pool that a revision inserted is changed."""
    from airflow.models.pool import Pool

    with airflow_session() as session:
        pool = Pool.get_default_pool(session=session)
        assert pool is not None
        pool.slots = 1


def test_default_pool_is_deleted(airflow_session: Sessions) -> None:
    """The pool that a revision inserted is deleted, after the change of another test was undone."""
    from airflow.models.pool import Pool

    with airflow_session() as session:
        pools = session.scalars(select(Pool)).all()
        assert [(pool.id, pool.pool, pool.slots) for pool in pools] == [(1, "default_pool", 128)]
        session.delete(pools[0])


def test_sequence_stands_before_the_row(airflow_session: Sessions) -> None:
    """A pool cannot be made at the first attempt, and can at the second.

    The revision inserts the default pool with its identifier and leaves the sequence where it was. It must stand there
    again after every test: neither on the next free identifier nor where an attempt that was rolled back moved it.
    """
    from airflow.models.pool import Pool

    with pytest.raises(IntegrityError, match="slot_pool_pkey"), airflow_session() as session:
        session.add(Pool(pool="extra", slots=3, include_deferred=True))
    with airflow_session() as session:
        session.add(Pool(pool="extra", slots=3, include_deferred=True))
    with airflow_session() as session:
        assert session.scalars(select(Pool.id).order_by(Pool.id)).all() == [1, 2]


@pytest.mark.parametrize("attempt", [1, 2])
def test_sequence_moves_in_a_rollback(airflow_session: Sessions, attempt: int) -> None:
    """The first attempt fails in every test: what a rolled back transaction left behind is put back as well."""
    from airflow.models.pool import Pool

    with pytest.raises(IntegrityError, match="slot_pool_pkey"), airflow_session() as session:
        session.add(Pool(pool="extra", slots=3, include_deferred=True))


def test_log_templates_are_rewritten(airflow_session: Sessions) -> None:
    """One of the two rows that a revision inserted is deleted, the other one changed."""
    from airflow.models.tasklog import LogTemplate

    with airflow_session() as session:
        session.execute(delete(LogTemplate).where(LogTemplate.id == 1))
        session.execute(update(LogTemplate).values(filename="elsewhere.log"))
        session.add(LogTemplate(filename="third.log", elasticsearch_id="third"))


def test_connection_is_stored(airflow_session: Sessions) -> None:
    """A connection with a password is written and found again."""
    from airflow.models.connection import Connection

    with airflow_session() as session:
        warehouse = Connection(conn_id="warehouse", conn_type="postgres", host="db", login="me")
        warehouse.set_password("secret")
        session.add(warehouse)
    with airflow_session() as session:
        found = session.scalars(select(Connection)).one()
        assert (found.id, found.conn_id, found.get_password()) == (1, "warehouse", "secret")


def test_connection_identifier_is_free_again(airflow_session: Sessions) -> None:
    """A connection of the same name gets the first identifier: neither row nor sequence is left of the other."""
    from airflow.models.connection import Connection

    with airflow_session() as session:
        session.add(Connection(conn_id="warehouse", conn_type="sqlite"))
        session.flush()
        assert session.scalars(select(Connection.id)).all() == [1]


def test_variable_is_set(airflow_session: Sessions) -> None:
    """A variable is set twice and deleted: what is left is a sequence that moved on, and one more variable."""
    from airflow.models.variable import Variable

    with airflow_session() as session:
        Variable.set("limit", "10", session=session)
        Variable.set("limit", "20", session=session)
        Variable.set("kept", {"a": 1}, serialize_json=True, session=session)
    with airflow_session() as session:
        assert session.scalars(select(Variable).where(Variable.key == "limit")).one().get_val() == "20"
        Variable.delete("limit", session=session)


def test_dag_is_registered(airflow_session: Sessions) -> None:
    """A DAG refers to a bundle that a revision inserted; the other bundle is deleted."""
    from airflow.models.dag import DagModel, DagTag
    from airflow.models.dagbundle import DagBundleModel

    with airflow_session() as session:
        dag = DagModel(dag_id="nightly", bundle_name="dags-folder", fileloc="nightly.py", is_paused=True)
        dag.tags = [DagTag(name="acceptance", dag_id="nightly")]
        session.add(dag)
        session.delete(session.get_one(DagBundleModel, "example_dags"))
    with airflow_session() as session:
        assert session.scalar(select(func.count()).select_from(DagTag)) == 1


def test_version_row_is_changed(postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is changed, without Airflow."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("UPDATE alembic_version SET version_num = 'elsewhere'")).rowcount == 1


def test_schema_is_at_head(airflow_session: Sessions) -> None:
    """Airflow finds its newest revision in a database whose version row another test changed."""
    from airflow.models.variable import Variable
    from airflow.utils.db import check_migrations

    check_migrations(timeout=0)
    with airflow_session() as session:
        Variable.set("after", "1", session=session)
