"""Data on top of the migrations is what tests are restored to, in whatever order and by whichever fixture they come."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path
from random import Random
from textwrap import dedent

import pytest

from tests.conftest import Project, Run, Server, new_database, new_role

PLAIN = ("-p", "no:randomly")
LOADERS = """
import os

from sqlalchemy import text


def note(word):
    with open("log", "a") as log:
        log.write(f"{word} {os.environ.get('PYTEST_XDIST_WORKER', 'main')}\\n")


def load(name):
    def load_names(engine):
        note(name)
        with engine.begin() as connection:
            connection.execute(text("INSERT INTO users (name) VALUES (:name)"), {"name": name})
    return load_names


def read(engine):
    with engine.begin() as connection:
        return connection.execute(text("SELECT string_agg(name, ' ' ORDER BY id) FROM users")).scalar_one()


def names(engine):
    found = read(engine)
    with engine.begin() as connection:
        connection.execute(text("INSERT INTO users (name) VALUES ('written')"))
    return found
"""
BASELINE = """
    import pytest
    from loaders import load, names, read


    @pytest.fixture(scope="{scope}")
    def postgres_baseline(postgres_baseline):
        with postgres_baseline.layer(load("{name}")) as baseline:
            yield baseline

"""
IMPORT = "\n    from loaders import names\n"
TESTS = """
    def test_first(postgres_engine, clean_database):
        assert names(postgres_engine) == "{found}"

    def test_second(postgres_engine, clean_database):
        assert names(postgres_engine) == "{found}"
"""
PYTEST_INI = "[pytest]\npythonpath = .\n"


def lay_out(project: Project, **layers: str) -> None:
    """Write a package for each layer of a session, and a module for each of a module: `a_b="session a, module b"`."""
    (project.path / "test_users.py").unlink()
    project.write("pytest.ini", PYTEST_INI)
    # Of this test alone: what another has loaded is kept.
    (project.path / "loaders.py").write_text(f"# {project.path}\n{LOADERS}", encoding="utf-8")
    for path, found in layers.items():
        names = found.split()
        head = (
            BASELINE.format(scope="module", name=names[-1]) if len(names) > 1 else "\n    from loaders import names\n"
        )
        project.write(f"{path.replace('__', '/')}.py", head + TESTS.format(found=found))


def log(project: Project) -> list[str]:
    """What was loaded since it was asked last, without who did."""
    path = project.path / "log"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    path.unlink(missing_ok=True)
    return sorted(line.split()[0] for line in lines)


def outcomes(done: Run) -> dict[str, str]:
    """The outcome of each test, as -v prints them."""
    return dict(re.findall(r"^(\S+::\w+) (PASSED|FAILED|ERROR)", done.output, re.MULTILINE))


def test_layers_of_modules(project: Project) -> None:
    """Each module has its own data, one without has none, and each is loaded once for good."""
    lay_out(project, test_a="root a", test_b="root b", test_c="root")
    done = project.run(*PLAIN, "-v")
    assert set(outcomes(done).values()) == {"PASSED"}, done.output
    assert (done.status, len(outcomes(done)), log(project)) == (0, 6, ["a", "b"])
    again = project.run(*PLAIN, "test_c.py", "test_b.py", "test_a.py")
    assert (again.status, log(project)) == (0, []), again.output


EVERYWHERE = """
    from loaders import names, read

    def test_reads(postgres_engine):
        assert read(postgres_engine) == "{found}"

    def test_writes(postgres_engine, clean_database):
        assert names(postgres_engine) == "{found}"

    def test_asks_late(request):
        request.getfixturevalue("clean_database")
        assert names(request.getfixturevalue("postgres_engine")) == "{found}"
"""


def lay_out_tree(project: Project) -> dict[str, str]:
    """Layers of a session, two packages and a module; gives what the tests of each file find."""
    lay_out(project)
    found = {
        "test_s": "root s", "pkg/test_p": "root s p", "pkg/test_m": "root s p m", "sub/test_t": "root s t",
        "sub/test_u": "root s t u",
    }  # fmt: skip
    project.write("conftest.py", BASELINE.format(scope="session", name="s"))
    project.write("pkg/__init__.py", "")
    project.write("pkg/conftest.py", BASELINE.format(scope="package", name="p"))
    # It lives to the end, and tests of other directories know nothing of it.
    project.write("sub/conftest.py", BASELINE.format(scope="session", name="t"))
    for path, names in found.items():
        head = BASELINE.format(scope="module", name=names[-1]) if path in {"pkg/test_m", "sub/test_u"} else ""
        project.write(f"{path}.py", dedent(head) + dedent(EVERYWHERE.format(found=names)))
    return found


def test_layers_in_every_order(project: Project) -> None:
    """A test finds the data of its own layer whichever ran before it, restored or not, and each restore is proven."""
    found = lay_out_tree(project)
    names = ("test_reads", "test_writes", "test_asks_late")
    tests = [f"{path}.py::{name}" for path in found for name in names]
    Random(4711).shuffle(tests)  # noqa: S311 - any order will do
    done = project.run(*PLAIN, "-v", "--pristine-proof=always", "--pristine-strict", *tests)
    assert set(outcomes(done).values()) == {"PASSED"}, done.output
    assert len(outcomes(done)) == len(tests)
    assert log(project) == ["m", "p", "s", "t", "u"]
    again = project.run(*PLAIN, "-v")
    assert set(outcomes(again).values()) == {"PASSED"}, again.output
    assert (again.status, log(project)) == (0, [])


def test_a_fixture_of_the_session_comes_late(project: Project) -> None:
    """What is set up once does not find the layer of the module before, which is left."""
    lay_out(project, test_a="root a")
    project.write("conftest.py", """
        import pytest
        from loaders import read

        @pytest.fixture(scope="session")
        def seen(postgres_engine):
            return read(postgres_engine)
    """)  # fmt: skip
    project.write("test_b.py", dedent(BASELINE.format(scope="module", name="b")) + dedent("""
        def test_seen(seen, postgres_engine, clean_database):
            assert (seen, names(postgres_engine)) == ("root", "root b")
    """))  # fmt: skip
    done = project.run(*PLAIN, "-v")
    assert set(outcomes(done).values()) == {"PASSED"}, done.output


def test_a_layer_within_a_test(project: Project) -> None:
    """A test may enter a layer for itself; the next one finds none of it."""
    lay_out(project)
    project.write(
        "test_own.py",
        """
        from loaders import load, names

        def test_own(postgres_baseline, postgres_engine, clean_database):
            with postgres_baseline.layer(load("own")):
                assert names(postgres_engine) == "root own"

        def test_none(postgres_engine, clean_database):
            assert names(postgres_engine) == "root"
    """,
    )
    done = project.run(*PLAIN, "-v")
    assert (set(outcomes(done).values()), done.status) == ({"PASSED"}, 0), done.output


def test_a_schema_that_a_test_changes(project: Project) -> None:
    """The test is named, and the next one finds the layer again, without that it is loaded again."""
    lay_out(project, test_a="root a")
    with (project.path / "test_a.py").open("a", encoding="utf-8") as file:
        file.write(
            dedent("""
            def test_changes(postgres_engine, clean_database):
                from sqlalchemy import text

                with postgres_engine.begin() as connection:
                    connection.execute(text("ALTER TABLE users ADD COLUMN age int"))

            def test_after(postgres_engine, clean_database):
                assert names(postgres_engine) == "root a"
        """)
        )
    done = project.run(*PLAIN, "-v")
    assert set(outcomes(done).values()) == {"PASSED"}, done.output
    assert "test_a.py::test_changes changed more than rows: " in done.message()
    assert log(project) == ["a"]


def test_a_loader_that_fails(project: Project) -> None:
    """Its tests fail, and say once why. Other modules do not notice."""
    lay_out(project, test_a="root a", test_b="root", test_c="root c")
    source = (project.path / "test_a.py").read_text(encoding="utf-8")
    wrong = source.replace('load("a")', "wrong") + dedent("""
        def wrong(engine):
            with engine.begin() as connection:
                connection.exec_driver_sql("INSERT INTO users (name) VALUES ('half'), (NULL)")
    """)
    project.write("test_a.py", wrong)
    done = project.run(*PLAIN, "-v")
    assert outcomes(done) == {
        "test_a.py::test_first": "ERROR", "test_a.py::test_second": "ERROR", "test_b.py::test_first": "PASSED",
        "test_b.py::test_second": "PASSED", "test_c.py::test_first": "PASSED", "test_c.py::test_second": "PASSED",
    }, done.output  # fmt: skip
    assert "sought: the data of the layer that wrong in test_a.py loads" in done.message()
    assert 'test_a.py, line 20: NotNullViolation: null value in column "name"' in done.message()
    assert "mend the loader; nothing is left of what it wrote, and the database is as it was" in done.message()
    assert "the same error as in test_a.py::test_first" in done.message()


def test_what_has_data_loaded_again(project: Project) -> None:
    """Changes of the loader, of what it imports and of what it reads do; those of tests and of other files do not."""
    lay_out(project)
    project.write("values.py", "NAME = 'a'")
    project.write("data/names.txt", "b")
    project.write("other.txt", "x")
    project.write(
        "seeds.py",
        """
        from pathlib import Path

        import loaders

        def load(engine):
            import values
            found = Path(__file__).with_name("data").joinpath("names.txt").read_text().split()
            for name in [values.NAME, *found]:
                loaders.load(name)(engine)
    """,
    )
    project.write(
        "conftest.py",
        """
        import pytest
        import seeds

        @pytest.fixture(scope="session")
        def postgres_baseline(postgres_baseline):
            with postgres_baseline.layer(seeds.load, inputs=["other.txt"]) as baseline:
                yield baseline
    """,
    )
    project.write("test_found.py", dedent(IMPORT) + dedent(TESTS.format(found="root a b")))
    steps = [
        ("", "", "root a b", ["a", "b"]),
        ("test_found.py", "\n# a comment\n", "root a b", []),
        ("unread.txt", "x", "root a b", []),
        ("data/names.txt", " c", "root a b c", ["a", "b", "c"]),
        ("values.py", "; NAME = 'd'", "root d b c", ["b", "c", "d"]),
        ("other.txt", "y", "root d b c", ["b", "c", "d"]),
        ("seeds.py", "\n# a comment\n", "root d b c", ["b", "c", "d"]),
    ]
    for name, added, found, expected in steps:
        if name:
            with (project.path / name).open("a", encoding="utf-8") as file:
                file.write(added)
        test = project.path / "test_found.py"
        test.write_text(re.sub(r'"root [^"]*"', f'"{found}"', test.read_text(encoding="utf-8")), encoding="utf-8")
        done = project.run(*PLAIN, "-q")
        assert (name, done.status, log(project)) == (name, 0, expected), done.output
    anew = project.run(*PLAIN, "-q", "--pristine-create-db")
    assert (anew.status, log(project)) == (0, ["b", "c", "d"]), anew.output


@pytest.mark.parametrize("by_hand", [True, False])
def test_migrations_of_a_project(project: Project, by_hand: bool) -> None:  # noqa: FBT001 - a parameter
    """A project may have an apply_migrations of its own. Data that it loads by hand cannot be below a layer."""
    lay_out(project, test_a="root a")
    project.write(
        "conftest.py",
        f"""
        import pytest
        from loaders import load
        from sqlalchemy import create_engine

        @pytest.fixture(scope="session")
        def apply_migrations(postgres_server):
            with postgres_server.migrated_database() as database:
                if {by_hand}:
                    engine = create_engine(database.url)
                    load("hand")(engine)
                    engine.dispose()
                yield database
    """,
    )
    project.write("test_b.py", dedent(IMPORT) + dedent(TESTS.format(found="root hand" if by_hand else "root")))
    done = project.run(*PLAIN, "-v")
    expected = {"test_a": "ERROR" if by_hand else "PASSED", "test_b": "PASSED"}
    assert {test.split(".")[0]: outcome for test, outcome in outcomes(done).items()} == expected, done.output
    assert ("apply_migrations has written to it by hand: users " in done.message()) is by_hand


def test_layers_in_place(project: Project, server: Server) -> None:
    """A role that may make no other database has its data loaded on top of what is there."""
    lay_out(project, test_a="root a", test_b="root b", test_c="root")
    with new_role(server, "NOCREATEDB") as role, new_database(server, owner=str(role.username)) as url:
        address = role.set(database=url.database).render_as_string(hide_password=False)
        done = project.run(*PLAIN, "-v", TEST_DATABASE_URL=address)
    assert (set(outcomes(done).values()), len(outcomes(done))) == ({"PASSED"}, 6), done.output
    assert "in place" in done.output


def test_status_tells_layers(project: Project) -> None:
    """`pristine status` says of a layer what has loaded it."""
    lay_out(project, test_a="root a")
    assert project.run(*PLAIN, "-q").status == 0
    label = re.sub(r"[^a-z0-9]+", "_", project.path.name.lower()).strip("_")[:20]
    said = subprocess.run(
        [str(Path(project.python).parent / "pristine"), "status"], cwd=project.path, env=dict(project.environ),
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert f"layer of {label} by load_names in loaders.py" in said, said


def test_schema_coverage_of_a_layer(project: Project) -> None:
    """Tables that a layer alone has are measured with the others, and none is taken for another."""
    lay_out(project, test_b="root")
    project.write(
        "test_a.py",
        """
        import pytest
        from sqlalchemy import text

        def load(engine):
            with engine.begin() as connection:
                connection.execute(text("CREATE TABLE above (id int)"))

        @pytest.fixture(scope="module")
        def postgres_baseline(postgres_baseline):
            with postgres_baseline.layer(load) as baseline:
                yield baseline

        def test_writes(postgres_engine, clean_database):
            with postgres_engine.begin() as connection:
                connection.execute(text("INSERT INTO above VALUES (1)"))
    """,
    )
    (project.path / "test_b.py").write_text("def test_b(clean_database): pass\n", encoding="utf-8")
    done = project.run(*PLAIN, "-q", "--pristine-schema-cov", "--pristine-report=report", "test_b.py", "test_a.py")
    assert done.status == 0, done.output
    (path,) = (project.path / "report").glob("*.json")
    found = json.loads(path.read_text(encoding="utf-8"))["schema"]["objects"]
    written = {each["name"]: each["covered"] for each in found if each["kind"] == "table written"}
    assert written == {"above": True, "users": False}
