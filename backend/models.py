"""The tables, as SQLAlchemy sees them.

The migrations make the tables; a test holds that both say the same. What models cannot express (the triggers that
enforce state transitions and announce events) is in the migrations alone.
"""

from datetime import datetime
from enum import StrEnum
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    DateTime,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    MetaData,
    Text,
    UniqueConstraint,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship


class RunStatus(StrEnum):
    """The life of a run; the last three are final, but a failed run may be retried."""

    PENDING = "pending"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class StepStatus(StrEnum):
    """The life of a step. A step is ready exactly when a job for it has been deferred and not begun."""

    PENDING = "pending"
    READY = "ready"
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"


class EventType(StrEnum):
    """What the journal of a run can say."""

    RUN_SUBMITTED = "run_submitted"
    RUN_STARTED = "run_started"
    RUN_SUCCEEDED = "run_succeeded"
    RUN_FAILED = "run_failed"
    RUN_RETRIED = "run_retried"
    RUN_CANCELLED = "run_cancelled"
    STEP_READY = "step_ready"
    STEP_STARTED = "step_started"
    STEP_SUCCEEDED = "step_succeeded"
    STEP_RETRYING = "step_retrying"
    STEP_FAILED = "step_failed"


def _enum(members: type[StrEnum], name: str) -> Enum:
    return Enum(members, name=name, values_callable=lambda enum: [member.value for member in enum])


class Base(DeclarativeBase):
    """The application's tables; Procrastinate's are not among them."""

    metadata = MetaData(
        naming_convention={
            "pk": "%(table_name)s_pkey",
            "fk": "%(table_name)s_%(column_0_N_name)s_fkey",
            "uq": "%(table_name)s_%(column_0_N_name)s_key",
            "ix": "%(table_name)s_%(column_0_N_name)s_idx",
        }
    )
    type_annotation_map = {  # noqa: RUF012 - SQLAlchemy's own protocol
        str: Text(),
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB(),
        RunStatus: _enum(RunStatus, "run_status"),
        StepStatus: _enum(StepStatus, "step_status"),
        EventType: _enum(EventType, "run_event_type"),
    }


class StepKind(Base):
    """A kind of step that may be submitted, with the retry policy of its steps. Migrations fill this table."""

    __tablename__ = "step_kinds"
    __table_args__ = (
        CheckConstraint("max_attempts BETWEEN 1 AND 100", name="step_kinds_max_attempts_range"),
        CheckConstraint("retry_wait_s >= 0", name="step_kinds_retry_wait_not_negative"),
    )

    name: Mapped[str] = mapped_column(primary_key=True)
    max_attempts: Mapped[int]
    retry_wait_s: Mapped[int]
    description: Mapped[str]


class Run(Base):
    """One submitted graph."""

    __tablename__ = "runs"
    __table_args__ = (
        CheckConstraint("key <> ''", name="runs_key_not_empty"),
        CheckConstraint("jsonb_typeof(document) = 'object'", name="runs_document_is_object"),
        CheckConstraint(
            "(finished_at IS NULL) = (status IN ('pending', 'running'))",
            name="runs_finished_at_matches_status",
        ),
        # Cancelling a run gives its key back.
        Index("runs_live_key_idx", "key", unique=True, postgresql_where=text("status <> 'cancelled'")),
    )

    id: Mapped[UUID] = mapped_column(primary_key=True, server_default=func.gen_random_uuid())
    key: Mapped[str]
    document: Mapped[dict[str, Any]]
    status: Mapped[RunStatus] = mapped_column(server_default=RunStatus.PENDING)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())
    finished_at: Mapped[datetime | None]

    steps: Mapped[list["Step"]] = relationship(order_by="Step.id", viewonly=True)


class Step(Base):
    """One node of a run's graph."""

    __tablename__ = "steps"
    __table_args__ = (
        UniqueConstraint("run_id", "name"),
        # What the composite foreign keys of step_dependencies refer to.
        UniqueConstraint("run_id", "id"),
        CheckConstraint("max_attempts BETWEEN 1 AND 100", name="steps_max_attempts_range"),
        CheckConstraint("attempts BETWEEN 0 AND max_attempts", name="steps_attempts_within_limit"),
        CheckConstraint("status NOT IN ('ready', 'running') OR job_id IS NOT NULL", name="steps_active_has_job"),
        CheckConstraint("status = 'succeeded' OR result IS NULL", name="steps_result_only_of_success"),
        CheckConstraint("(status = 'failed') = (error IS NOT NULL)", name="steps_error_only_of_failure"),
    )

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    name: Mapped[str]
    kind: Mapped[str] = mapped_column(ForeignKey("step_kinds.name"))
    args: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    status: Mapped[StepStatus] = mapped_column(server_default=StepStatus.PENDING)
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    max_attempts: Mapped[int]
    # No foreign key: Procrastinate deletes old jobs, and the step outlives them.
    job_id: Mapped[int | None] = mapped_column(BigInteger)
    result: Mapped[Any | None] = mapped_column(JSONB)
    error: Mapped[str | None]

    dependencies: Mapped[list["Step"]] = relationship(
        secondary="step_dependencies",
        primaryjoin="Step.id == StepDependency.step_id",
        secondaryjoin="Step.id == StepDependency.depends_on_id",
        order_by="Step.name",
        viewonly=True,
    )


class StepDependency(Base):
    """`step` waits for `depends_on`; the composite keys keep both in one run."""

    __tablename__ = "step_dependencies"
    __table_args__ = (
        ForeignKeyConstraint(["run_id", "step_id"], ["steps.run_id", "steps.id"], ondelete="CASCADE"),
        ForeignKeyConstraint(["run_id", "depends_on_id"], ["steps.run_id", "steps.id"], ondelete="CASCADE"),
        CheckConstraint("step_id <> depends_on_id", name="step_dependencies_not_on_itself"),
        Index(None, "depends_on_id"),
    )

    run_id: Mapped[UUID]
    step_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)
    depends_on_id: Mapped[int] = mapped_column(BigInteger, primary_key=True)


class RunEvent(Base):
    """One line of a run's journal. Inserting one notifies the channel `run_<id>` when the transaction commits."""

    __tablename__ = "run_events"
    __table_args__ = (Index(None, "run_id", "id"), Index(None, "step_id"))

    id: Mapped[int] = mapped_column(BigInteger, Identity(always=True), primary_key=True)
    run_id: Mapped[UUID] = mapped_column(ForeignKey("runs.id", ondelete="CASCADE"))
    step_id: Mapped[int | None] = mapped_column(ForeignKey("steps.id", ondelete="CASCADE"))
    type: Mapped[EventType]
    detail: Mapped[dict[str, Any]] = mapped_column(server_default=text("'{}'"))
    created_at: Mapped[datetime] = mapped_column(server_default=func.clock_timestamp())

    step: Mapped[Step | None] = relationship(viewonly=True)
