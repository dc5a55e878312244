"""Sessions whose transactions are rolled back: what the code under test sees of them, and what is left."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import pytest
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.exc import DBAPIError, IntegrityError
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, mapped_column, sessionmaker

from pytest_pristine.errors import DeferredConstraintError
from pytest_pristine.isolation.isolation import Isolation
from pytest_pristine.isolation.restored import Restored
from pytest_pristine.isolation.rollback import Rollback, RolledBackSession
from tests.isolation.conftest import MakePlace, Place

DDL = """
    CREATE TABLE users (id serial PRIMARY KEY, name text NOT NULL UNIQUE);
    INSERT INTO users (name) VALUES ('root');
    CREATE TABLE tags (word text PRIMARY KEY);
    CREATE TABLE orders (id serial PRIMARY KEY, who int REFERENCES users DEFERRABLE INITIALLY DEFERRED);
    CREATE TABLE audit (what text);
    CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN INSERT INTO audit VALUES (NEW.id::text); RETURN NULL; END $$;
    CREATE CONSTRAINT TRIGGER noted AFTER INSERT ON orders DEFERRABLE INITIALLY DEFERRED
        FOR EACH ROW EXECUTE FUNCTION note();
"""


class Base(DeclarativeBase):
    """The application's models."""


class User(Base):
    """One of them."""

    __tablename__ = "users"
    id: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str]


@dataclass
class Stage:
    """A session that is rolled back, in a database whose baseline is recorded."""

    place: Place
    isolation: Isolation
    engine: Engine
    rollback: Rollback
    session: Session

    def end(self) -> Restored:
        """Do what the fixture does after a test."""
        self.rollback.finish()
        return self.isolation.restore()

    def count(self, table: str = "users") -> int:
        """Rows that the session sees."""
        return int(self.session.execute(text(f"SELECT count(*) FROM {table}")).scalar_one())


@contextmanager
def _set(place: Place, **options: object) -> Iterator[Stage]:
    isolation = place.isolation()
    engine = create_engine(place.url, **options)  # type: ignore[arg-type]
    rollback = Rollback(engine)
    session = RolledBackSession(rollback=rollback)
    try:
        yield Stage(place, isolation, engine, rollback, session)
    finally:
        rollback.finish(failed=True)
        engine.dispose()


@pytest.fixture
def stage(place: MakePlace) -> Iterator[Stage]:
    """In every world."""
    with _set(place(DDL)) as stage:
        yield stage


@pytest.fixture
def one_stage(one_place: MakePlace) -> Iterator[Stage]:
    """In one world, for what is the same in all."""
    with _set(one_place(DDL)) as stage:
        yield stage


def test_what_a_session_commits_is_rolled_back(stage: Stage) -> None:
    """A session commits, rolls back and nests, sees what a real one would, and leaves nothing, sequences included."""
    before = stage.place.dump()
    session = stage.session
    session.add(User(name="ada"))
    session.commit()
    session.add(User(name="bob"))
    session.rollback()
    assert stage.count() == 2
    with session.begin_nested():
        session.add(User(name="eve"))
    nested = session.begin_nested()
    session.add(User(name="eve"))
    with pytest.raises(IntegrityError):
        session.flush()
    nested.rollback()
    session.execute(text("INSERT INTO orders (who) SELECT id FROM users"))
    session.commit()
    assert (stage.count(), stage.count("orders")) == (3, 3)
    restored = stage.end()
    assert str(restored) == "sequence users_id_seq, sequence orders_id_seq"
    assert not restored.committed
    assert stage.place.dump() == before


def test_nothing_is_written_when_no_sequence_moved(stage: Stage) -> None:
    """A restore after transactions that were rolled back and used no sequence finds nothing, and asks no table."""
    asked: list[object] = []
    probes = stage.isolation._watch.probes
    probes.ask_all = lambda fresh: asked.append(fresh) or set()  # type: ignore[method-assign, func-returns-value]
    stage.session.execute(text("INSERT INTO tags VALUES ('a')"))
    stage.session.commit()
    stage.session.execute(text("UPDATE users SET name = 'x'"))
    stage.session.execute(text("CREATE TABLE more AS SELECT * FROM users"))
    assert not stage.end()
    assert not asked


def test_what_is_committed_beside_it_is_found(stage: Stage) -> None:
    """What another connection commits, among many transactions that are rolled back, is put back and told apart."""
    before = stage.place.dump()
    stage.session.execute(text("INSERT INTO tags VALUES ('a')"))
    with Session(stage.engine) as other:
        # Where a sequence was put back all tables are asked, for triggers may have written.
        other.execute(text("INSERT INTO audit VALUES ('c')"))
        other.commit()
    stage.session.execute(text("INSERT INTO tags VALUES ('b')"))
    assert stage.end().committed == "audit 1 row"
    assert stage.place.dump() == before


def _by_text(session: Session) -> None:
    session.execute(text("COMMIT"))


def _by_driver(session: Session) -> None:
    session.connection().connection.commit()


def _by_driver_before_more(session: Session) -> None:
    driver = session.connection().connection.driver_connection
    driver.commit()  # type: ignore[union-attr]
    driver.execute("INSERT INTO tags VALUES ('more')")  # type: ignore[union-attr]


@pytest.mark.parametrize("commit", [_by_text, _by_driver, _by_driver_before_more])
@pytest.mark.parametrize("ending", ["commit", "rollback", "close"])
def test_a_real_commit(one_stage: Stage, commit: Callable[[Session], None], ending: str) -> None:
    """Code that commits past the session goes on as with a real one, and what it committed is found and put back."""
    before = one_stage.place.dump()
    session = one_stage.session
    session.add(User(name="ada"))
    session.flush()
    commit(session)
    session.execute(text("INSERT INTO tags VALUES ('later')"))
    getattr(session, ending)()
    assert one_stage.count("tags WHERE word = 'later'") == (ending == "commit")
    session.add(User(name="bob"))
    session.commit()
    assert one_stage.rollback.has_ended_early
    assert one_stage.end().committed == "users 1 row"
    assert one_stage.place.dump() == before


def test_a_commit_that_violates_a_deferred_constraint(one_stage: Stage) -> None:
    """It fails as a real one does, leaves nothing, and the session goes on after a rollback."""
    session = one_stage.session
    session.execute(text("INSERT INTO orders (who) VALUES (77)"))
    with pytest.raises(IntegrityError, match="orders_who_fkey"):
        session.commit()
    session.rollback()
    assert one_stage.count("orders") == 0
    session.execute(text("INSERT INTO orders (who) VALUES (1)"))
    session.commit()
    assert one_stage.count("orders") == 1
    one_stage.end()


def test_constraints_are_deferred_anew_in_each_transaction(one_stage: Stage) -> None:
    """A constraint may be violated in the middle of the second transaction as it may in the first."""
    session = one_stage.session
    for number in (5, 6):
        session.execute(text(f"INSERT INTO orders (who) VALUES ({number})"))
        session.execute(text(f"INSERT INTO users (id, name) VALUES ({number}, '{number}')"))
        session.commit()
    assert one_stage.count("orders") == 2
    session.execute(text("DROP TABLE orders"))
    session.commit()
    one_stage.end()


def test_deferred_triggers_run_at_each_commit(one_stage: Stage) -> None:
    """What a deferred constraint trigger writes is there after the commit, once; a savepoint does not have it run."""
    session = one_stage.session
    with session.begin_nested():
        session.execute(text("INSERT INTO orders (who) VALUES (1)"))
    assert one_stage.count("audit") == 0
    session.commit()
    assert one_stage.count("audit") == 1
    session.commit()
    assert one_stage.count("audit") == 1
    one_stage.end()


def test_what_is_left_uncommitted_is_checked(one_stage: Stage) -> None:
    """A deferred constraint that is violated in the end is an error that names it, and nothing is left."""
    one_stage.session.execute(text("INSERT INTO orders (who) VALUES (77)"))
    with pytest.raises(DeferredConstraintError) as raised:
        one_stage.rollback.finish()
    assert "orders_who_fkey" in raised.value.found
    assert "commit it in the test" in str(raised.value)


def test_a_transaction_that_failed_is_not_checked(one_stage: Stage) -> None:
    """A statement that failed, and that nobody rolled back, is no violation in the end."""
    with pytest.raises(DBAPIError):
        one_stage.session.execute(text("SELECT * FROM nowhere"))
    assert not one_stage.end()


def test_a_failed_flush(one_stage: Stage) -> None:
    """After a failed flush the session wants a rollback, as a real one does, and keeps what it committed before."""
    session = one_stage.session
    session.add(User(name="ada"))
    session.commit()
    session.add(User(name="ada"))
    with pytest.raises(IntegrityError):
        session.flush()
    session.rollback()
    assert one_stage.count() == 2
    one_stage.end()


def test_a_session_that_is_closed(one_stage: Stage) -> None:
    """Code that closes the session, or uses it as a context, gives back nothing: it goes on where it was."""
    session = one_stage.session
    with session:
        session.add(User(name="ada"))
        session.commit()
        session.add(User(name="bob"))
    assert one_stage.count() == 2
    one_stage.end()


def test_sessions_of_the_application(one_stage: Stage) -> None:
    """The application's sessions join the same transaction, and each commit of theirs is checked."""
    make = sessionmaker(one_stage.session.get_bind(), join_transaction_mode="create_savepoint")
    assert one_stage.count() == 1  # it is in a transaction of its own
    with make.begin() as theirs:
        theirs.add(User(name="ada"))
    assert one_stage.count() == 2
    with make() as theirs:
        theirs.execute(text("INSERT INTO orders (who) VALUES (77)"))
        with pytest.raises(IntegrityError):
            theirs.commit()
    assert one_stage.count("orders") == 0
    assert not one_stage.end().committed


def test_another_bind_for_a_statement(one_stage: Stage) -> None:
    """A statement that names another engine goes there."""
    one_stage.session.execute(text("INSERT INTO tags VALUES ('a')"))
    other = create_engine(one_stage.place.url)
    elsewhere = {"bind": other}
    assert one_stage.session.execute(text("SELECT count(*) FROM tags"), bind_arguments=elsewhere).scalar_one() == 0
    one_stage.session.close()
    other.dispose()


def test_a_backend_that_is_terminated(one_stage: Stage) -> None:
    """A session whose backend was ended goes on with another after a rollback, as a real one does."""
    session = one_stage.session
    pid = session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    session.execute(text("INSERT INTO tags VALUES ('a')"))
    one_stage.place.run(f"SELECT pg_terminate_backend({pid})")
    with pytest.raises(DBAPIError):
        session.execute(text("SELECT 1"))
    session.rollback()
    session.execute(text("INSERT INTO tags VALUES ('b')"))
    session.commit()
    assert one_stage.count("tags") == 1
    assert not one_stage.end().committed


def test_a_backend_that_is_terminated_last(one_stage: Stage) -> None:
    """One that was ended without anybody's notice stands in nobody's way."""
    pid = one_stage.session.execute(text("SELECT pg_backend_pid()")).scalar_one()
    one_stage.place.run(f"SELECT pg_terminate_backend({pid})")
    assert not one_stage.end()


def test_a_pool_of_one_connection(one_place: MakePlace) -> None:
    """A session takes its one connection when it is used, and gives it back in the end."""
    with _set(one_place(DDL), pool_size=1, max_overflow=0, pool_timeout=0.1) as stage:
        with stage.engine.connect() as connection:
            connection.execute(text("SELECT 1"))
        stage.session.execute(text("INSERT INTO tags VALUES ('a')"))
        assert not stage.end()
        with stage.engine.connect() as connection:
            assert connection.execute(text("SELECT count(*) FROM tags")).scalar_one() == 0


def test_what_it_wrote_so_far(one_stage: Stage) -> None:
    """What a session wrote is told in words, as long as its transaction can be asked."""
    assert one_stage.rollback.described() == "nothing"
    one_stage.session.execute(text("INSERT INTO tags VALUES ('a'), ('b')"))
    one_stage.session.execute(text("UPDATE users SET name = 'x'"))
    assert one_stage.rollback.described() == "tags 2 inserted, users 1 updated"
    with pytest.raises(DBAPIError):
        one_stage.session.execute(text("SELECT * FROM nowhere"))
    assert one_stage.rollback.described() == "see the statements, one of which failed"


def test_a_transaction_that_is_kept(one_stage: Stage) -> None:
    """What a failed test wrote can be committed, for its database to be kept; then a restore finds it."""
    one_stage.session.add(User(name="ada"))
    one_stage.session.flush()
    one_stage.rollback.finish(failed=True, keep=True)
    assert one_stage.isolation.restore().committed == "users 1 row"
