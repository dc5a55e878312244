"""What is told of a test that fails: the statements that it ran, and what it wrote."""

from __future__ import annotations

import re

import pytest

from tests.conftest import Run
from tests.verify.conftest import Tests


def section(run: Run, title: str) -> list[str]:
    """The lines of a section of a failure's report."""
    lines = run.output.splitlines()
    heads = [number for number, line in enumerate(lines) if line.startswith("---") and title in line]
    assert len(heads) == 1, run.output
    rest = lines[heads[0] + 1 :]
    return rest[: next(number for number, line in enumerate(rest) if line.startswith(("---", "===", "/")))]


def wrote(run: Run) -> str:
    """What the failed test wrote."""
    return "\n".join(section(run, "pristine: what it wrote"))


def test_statements(tests: Tests) -> None:
    """The last statements are shown with how long they took, their rows and their parameters, in their order."""
    run = tests("""
    def test_fails(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": "ada"})
            connection.execute(text("UPDATE users SET name = name || 'x'"))
            connection.execute(text("SELECT count(*) FROM users WHERE name = :name"), {"name": "bob"}).one()
        assert False
    """)
    shown = section(run, "pristine: the last 3 of 3 statements")
    assert [re.sub(r"^ *\d+\.\d ms  ", "", line) for line in shown] == [
        "1 row     INSERT INTO users (name) VALUES (%(name)s)  {'name': 'ada'}",
        "4 rows    UPDATE users SET name = name || 'x'",
        "1 row     SELECT count(*) FROM users WHERE name = %(name)s  {'name': 'bob'}",
    ]


def test_a_statement_that_failed(tests: Tests) -> None:
    """A statement that failed is shown with what the server said."""
    run = tests("""
    def test_fails(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('root')")
    """)
    shown = section(run, "pristine: the statement")
    assert re.fullmatch(r" *\d+\.\d ms  failed    INSERT INTO users \(name\) VALUES \('root'\)", shown[0])
    assert shown[1].strip() == 'duplicate key value violates unique constraint "users_name_key"'


def test_other_engines(tests: Tests) -> None:
    """Statements of the application's own engines are shown, too."""
    run = tests("""
    def test_fails(postgres_url, clean_database):
        engine = create_engine(postgres_url)
        do(engine, "SELECT 'of another engine'")
        engine.dispose()
        assert False
    """)
    assert "of another engine" in section(run, "pristine: the statement")[0]


MANY = """
    def test_fails(postgres_engine, clean_database):
        do(postgres_engine, *(f"SELECT {number}" for number in range(30)))
        assert False

    def test_fails_too(postgres_engine, clean_database):
        do(postgres_engine, "SELECT 'another'")
        assert False
"""


def test_as_many_statements_as_are_wanted(tests: Tests) -> None:
    """As many statements of the failed test are shown as the setting says: of that test alone, the last ones."""
    shown = section(tests(MANY), "pristine: the last 10 of 30 statements")
    assert [line.split()[-1] for line in shown] == [str(number) for number in range(20, 30)]
    assert section(tests(MANY, "--pristine-statements=1"), "pristine: the last 1 of 30 statements")[0].endswith("29")
    assert "statements ---" not in tests(MANY, "--pristine-statements=0").output


def test_hidden_parameters(tests: Tests) -> None:
    """With pristine_parameters = hide no parameter is shown: not of the statements, and not in SQLAlchemy's error."""
    text = """
    def test_fails(postgres_engine, clean_database):
        with postgres_engine.begin() as connection:
            connection.execute(text("SELECT cast(:it AS int)"), {"it": "ge" "heim"})
    """
    assert tests(text).output.count("{'it': 'geheim'}") > 1
    run = tests(text, "--pristine-parameters=hide", "--tb=short")
    assert "{'it'" not in run.output
    assert "SELECT cast(%(it)s AS int)" in section(run, "pristine: the statement")[0]


@pytest.mark.parametrize(
    ("statements", "told"),
    [
        ("", "nothing that was committed"),
        ("INSERT INTO orders DEFAULT VALUES", "orders +1, sequence orders_id_seq"),
        ("UPDATE users SET name = 'x' WHERE id = 1", "users 1 changed"),
        ("DELETE FROM users WHERE id < 3", "users -2"),
        ("DELETE FROM users WHERE id = 3; INSERT INTO users VALUES (7, 'new')", "users +1 and -1"),
        (
            "DELETE FROM users WHERE id = 3; UPDATE users SET id = 2 WHERE id = 2; INSERT INTO users VALUES (7, 'y')",
            "users +1 and -1 and 1 changed",
        ),
        ("DELETE FROM users; INSERT INTO users VALUES (1, 'root'), (2, 'guest')", "users -1 and 2 changed"),
        ("SELECT nextval('orders_id_seq')", "sequence orders_id_seq"),
        ("TRUNCATE users CASCADE", "users -3"),
        ("ALTER TABLE users ADD age int", "the schema: table users, column age of table users"),
    ],
)
def test_what_it_wrote(tests: Tests, statements: str, told: str) -> None:
    """What a failed test had committed is told table by table: rows that are new, other, or gone."""
    run = tests(f"""
    def test_fails(postgres_engine, clean_database):
        do(postgres_engine, *filter(None, "{statements}".split("; ")))
        assert False
    """)
    assert wrote(run) == told


def test_a_test_that_does_not_clean(tests: Tests) -> None:
    """Of a test that wrote nothing nothing is told, also before anything was restored."""
    run = tests("""
    def test_fails(postgres_engine):
        assert False
    """)
    assert wrote(run) == "nothing that was committed"


def test_what_was_undone_before_it(tests: Tests) -> None:
    """What a fixture wrote before clean_database undid it is told, as the test may have missed it."""
    run = tests("""
    @pytest.fixture(scope="module")
    def rows(postgres_engine):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")

    def test_uses(rows, clean_database):
        assert False
    """)
    assert wrote(run) == (
        "nothing that was committed\nclean_database undid before the test what a fixture of test_users.py::test_uses "
        "left users 1 row, sequence users_id_seq"
    )


def test_what_it_had_not_committed(tests: Tests) -> None:
    """What was not committed is not told; and who keeps others out of a table is."""
    run = tests("""
    def test_fails(postgres_engine, clean_database):
        with postgres_engine.connect() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES ('ada')"))
            do(postgres_engine, "INSERT INTO orders (who) VALUES (NULL)")
            assert False
    """)
    assert wrote(run) == "orders +1, sequence users_id_seq, sequence orders_id_seq"
    blocked = tests("""
    @pytest.fixture
    def connection(postgres_engine):
        with postgres_engine.connect() as connection:
            yield connection

    def test_fails(clean_database, connection):
        connection.execute(text("LOCK TABLE users"))
        assert False
    """)
    assert wrote(blocked).startswith("it cannot be told: a lock held by another session: pid ")


def test_in_a_fixture(tests: Tests) -> None:
    """A test whose fixture fails is told of in the same way."""
    run = tests("""
    @pytest.fixture
    def data(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")
        raise ValueError

    def test_uses(data):
        pass
    """)
    assert section(run, "pristine: the statement")
    assert wrote(run) == "users +1, sequence users_id_seq"


def test_with_workers(tests: Tests) -> None:
    """Under pytest-xdist the sections are those that a run without it has."""
    text = """
    def test_fails(postgres_engine, clean_database):
        do(postgres_engine, "INSERT INTO users (name) VALUES ('ada')")
        assert False
    """
    run = tests(text, "-p", "xdist", "-n2")
    assert section(run, "pristine: the statement")
    assert wrote(run) == wrote(tests(text))


def test_other_tests_are_left_alone(tests: Tests) -> None:
    """A failed test that has no fixture of ours has no section of ours."""
    run = tests("""
    def test_one(postgres_engine, clean_database):
        pass

    def test_fails():
        assert False
    """)
    assert "pristine: what it wrote" not in run.output
