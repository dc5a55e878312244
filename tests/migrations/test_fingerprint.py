"""What a schema is made of: each of it, when it changes, makes another; and nothing else does."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.migrations import fingerprint
from pytest_pristine.migrations.alembic import Alembic
from pytest_pristine.migrations.fingerprint import Inputs
from pytest_pristine.settings import exports
from tests.conftest import Home, Project, Server, new_database
from tests.conftest import lay_out as basic
from tests.templates.conftest import Templates, templates

__all__ = ["templates"]


@dataclass
class Counted:
    """An Alembic that counts how often it was asked to migrate."""

    alembic: Alembic
    runs: int = 0

    def fingerprint(self) -> str:
        """Alembic's own."""
        return self.alembic.fingerprint()

    def migrate(self, url: URL) -> Inputs:
        """Alembic's own."""
        self.runs += 1
        return self.alembic.migrate(url)

    def current(self, inputs: Inputs) -> bool:
        """Alembic's own."""
        return self.alembic.current(inputs)


def lay_out(project: Project) -> None:
    """Add to a project all that its migrations can be made of."""
    project.write("alembic.ini", """
        [alembic]
        script_location = %(here)s/migrations
        version_locations = %(here)s/migrations/versions %(here)s/extra/versions
        path_separator = space
        prepend_sys_path = .
    """)  # fmt: skip
    project.write("shop/__init__.py", "")
    project.write("shop/models.py", "from shop.names import NAME\n")
    project.write("shop/names.py", "NAME = 'shop'\n")
    project.write("shop/unrelated.py", "")
    project.write("sql/one.sql", "CREATE TABLE one (id int)")
    project.write(
        "extra/versions/0000_extra.py", "revision, down_revision = '0000', None\n\ndef upgrade():\n    pass\n"
    )
    revision = project.path / "migrations/versions/0001_users.py"
    text = revision.read_text().replace('"0001", None', '"0001", "0000"')
    revision.write_text(text + "\n    from pathlib import Path\n"
                        "    for path in sorted(Path(__file__).parents[2].glob('sql/*.sql')):\n"
                        "        op.execute(path.read_text())\n")  # fmt: skip
    env = project.path / "migrations/env.py"
    env.write_text("import shop.models\n" + env.read_text())


Change = Callable[[Project], None]


def rewrite(name: str, text: str) -> Change:
    """A change of one file."""

    def change(project: Project) -> None:
        path = project.path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text((path.read_text() if path.exists() else "") + text)

    return change


CHANGES = {
    "a revision": rewrite("migrations/versions/0001_users.py", "\n# changed"),
    "a new revision": rewrite("migrations/versions/0002_new.py",
                              "revision, down_revision = '0002', '0001'\ndef upgrade():\n    pass\n"),
    "the configuration": rewrite("alembic.ini", "\n# changed"),
    "env.py": rewrite("migrations/env.py", "\n# changed"),
    "a module that env.py imports": rewrite("shop/models.py", "\n# changed"),
    "a module that such a module imports": rewrite("shop/names.py", "\n# changed"),
    "a file that a revision reads": rewrite("sql/one.sql", " -- changed"),
    "a file that a revision would read": rewrite("sql/two.sql", "CREATE TABLE two (id int)"),
    "a revision in another directory": rewrite("extra/versions/0000_extra.py", "\n# changed"),
    "a new revision in another directory": rewrite(
        "extra/versions/0002_new.py", "revision, down_revision = '0002', '0001'\ndef upgrade():\n    pass\n"),
}  # fmt: skip


@dataclass
class Migrated:
    """A project that was migrated once, and what it was made of then."""

    project: Project
    alembic: Alembic
    digest: str
    inputs: Inputs

    def same(self) -> bool:
        """Whether the schema that was made then is still the one to be used."""
        return self.alembic.fingerprint() == self.digest and self.alembic.current(self.inputs)


@pytest.fixture(scope="module")
def migrated(tmp_path_factory: pytest.TempPathFactory, server: Server, shared_home: Home) -> Migrated:
    """A project with all that migrations can be made of, migrated."""
    project = basic(tmp_path_factory.mktemp("shop"), shared_home)
    lay_out(project)
    alembic = Alembic(config=project.path / "alembic.ini", root=project.path)
    with new_database(server) as url:
        digest = alembic.fingerprint()
        return Migrated(project, alembic, digest, alembic.migrate(url))


@pytest.mark.parametrize("what", CHANGES)
def test_a_change_is_seen(migrated: Migrated, what: str) -> None:
    """A change of whatever the migrations are made of makes another schema; undone, it is the same again."""
    root = migrated.project.path
    before = {path: path.read_bytes() for path in root.rglob("*") if path.is_file()}
    assert migrated.same()
    try:
        CHANGES[what](migrated.project)
        assert not migrated.same(), "the change was not seen"
    finally:
        for path in root.rglob("*"):
            if path.is_file() and path not in before:
                path.unlink()
        for path, content in before.items():
            path.write_bytes(content)
    assert migrated.same()


def test_a_module_that_nothing_imports_does_not_matter(migrated: Migrated) -> None:
    """The application may change as it likes where its migrations do not look."""
    rewrite("shop/unrelated.py", "CHANGED = True")(migrated.project)
    rewrite("tests/test_shop.py", "def test_shop(): pass")(migrated.project)
    assert migrated.same()


def test_a_change_is_another_template(project: Project, templates: Templates) -> None:
    """Unchanged, the template is used without migrating; changed, another is built; changed back, the first is used."""
    lay_out(project)

    def lease() -> tuple[int, str]:
        counted = Counted(Alembic(config=project.path / "alembic.ini", root=project.path))
        with templates.lease(counted) as workspace:
            return counted.runs, workspace.template

    runs, original = lease()
    assert runs == 1
    assert lease() == (0, original)
    models = project.path / "shop/models.py"
    text = models.read_text()
    models.write_text(text + "# changed")
    runs, changed = lease()
    assert runs == 1
    assert changed != original
    models.write_text(text)
    assert lease() == (0, original)


def test_a_revision_that_was_compiled_already_is_seen(
    project: Project, templates: Templates, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A change of a revision that an earlier build compiled, in a directory of its own, is seen as well."""
    monkeypatch.delenv("PYTHONDONTWRITEBYTECODE", raising=False)
    lay_out(project)
    alembic = Alembic(config=project.path / "alembic.ini", root=project.path)
    for _ in range(2):
        counted = Counted(alembic)
        with templates.lease(counted, rebuild=True):
            pass
        assert counted.runs == 1
    rewrite("extra/versions/0000_extra.py", "\n# changed, and of another length")(project)
    with templates.lease(counted := Counted(alembic)):
        assert counted.runs == 1


def test_settings_of_the_migrator_are_part_of_it(project: Project) -> None:
    """Another target or another environment makes another schema."""
    config = project.path / "alembic.ini"
    migrators = [Alembic(config), Alembic(config, target="0001"), Alembic(config, environment={"A": "1"}),
                 Alembic(config, environment={"A": "2"}), Alembic(config, exports=exports.parse("A"))]  # fmt: skip
    assert len({migrator.fingerprint() for migrator in migrators}) == len(migrators)


def test_another_checkout_of_the_same_project_shares(project: Project, tmp_path: Path) -> None:
    """Where a project lies is no part of its schema."""
    other = tmp_path / "elsewhere"
    project.path.joinpath("migrations").rename(tmp_path / "moved")
    before = fingerprint.tree_digest(tmp_path / "moved")
    (tmp_path / "moved").rename(other)
    assert fingerprint.tree_digest(other) == before


def test_compiled_files_do_not_count(tmp_path: Path) -> None:
    """What Python compiles beside the sources changes nothing; any other file does."""
    (tmp_path / "a.py").write_text("1")
    before = fingerprint.tree_digest(tmp_path)
    (tmp_path / "__pycache__").mkdir()
    (tmp_path / "__pycache__/a.cpython-311.pyc").write_bytes(b"1")
    (tmp_path / "b.pyc").write_bytes(b"1")
    assert fingerprint.tree_digest(tmp_path) == before
    (tmp_path / "a.sql").write_text("")
    after = fingerprint.tree_digest(tmp_path)
    (tmp_path / "a.sql").rename(tmp_path / "b.sql")
    assert len({before, after, fingerprint.tree_digest(tmp_path)}) == 3


def test_the_version_of_an_installed_package(
    project: Project, server: Server, database: URL, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A package that a revision uses is recorded with its version, and another version is another schema."""
    base = tmp_path / "user base"
    site = base / f"lib/python{sys.version_info.major}.{sys.version_info.minor}/site-packages"

    def install(version: str) -> None:
        project.write(str(site / "schema_of_others.py"), "SQL = 'SELECT 1'")
        info = site / f"schema_of_others-{version}.dist-info"
        project.write(str(info / "METADATA"), f"Metadata-Version: 2.1\nName: schema-of-others\nVersion: {version}\n")
        project.write(str(info / "RECORD"), "schema_of_others.py,,\n")
        project.write(str(info / "top_level.txt"), "schema_of_others\n")

    def current() -> bool:
        # A run looks once, a test several times.
        getattr(fingerprint._versions, "cache_clear", lambda: None)()
        return alembic.current(inputs)

    install("1.0")
    monkeypatch.setenv("PYTHONUSERBASE", str(base))
    monkeypatch.syspath_prepend(site)
    project.write("migrations/versions/0002_others.py", """
        from alembic import op

        revision, down_revision = "0002", "0001"

        def upgrade():
            import schema_of_others

            op.execute(schema_of_others.SQL)
    """)  # fmt: skip
    alembic = Alembic(config=project.path / "alembic.ini", root=project.path)
    inputs = alembic.migrate(database)
    assert server.ask("SELECT version_num FROM alembic_version", database.database) == "0002"
    assert inputs.get("package:schema_of_others") == "1.0"
    assert "package:sqlalchemy" in inputs
    assert current()
    (site / "schema_of_others-1.0.dist-info").rename(tmp_path / "before")
    assert not current()
    install("2.0")
    assert not current()
    (site / "schema_of_others-2.0.dist-info").rename(tmp_path / "after")
    install("1.0")
    assert current()


def test_files_are_recorded_relative_to_the_root(tmp_path: Path) -> None:
    """What lies in the project is recorded by relative path, what lies outside by its own; nothing installed is."""
    root, beside = tmp_path / "root", tmp_path / "beside"
    for path in (root / "app.py", beside / "lib.py"):
        path.parent.mkdir()
        path.write_text("1")
    inputs = fingerprint.record(root, [root / "app.py", beside / "lib.py", Path(pytest.__file__), Path(sys.__name__)],
                                [root / "data.sql", beside / "data.sql"])  # fmt: skip
    files = {key for key in inputs if key.startswith("file:")}
    # What was looked for in the project and is not there is recorded too.
    assert files == {"file:app.py", "file:data.sql", f"file:{(beside / 'lib.py').as_posix()}"}
    assert fingerprint.unchanged(inputs, root)
    (root / "app.py").unlink()
    assert not fingerprint.unchanged(inputs, root)


@pytest.mark.parametrize("prefix", ["base_prefix", "prefix"])
def test_a_project_below_pythons_own_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, prefix: str) -> None:
    """A project is one's own even if Python is installed above it: /usr/src/app, or an environment in the root."""
    monkeypatch.setattr(sys, prefix, str(tmp_path))
    app = tmp_path / "src/app"
    app.mkdir(parents=True)
    (app / "models.py").write_text("1")
    (app / "data.sql").write_text("1")
    inputs = fingerprint.record(app, [app / "models.py"], [app / "data.sql"])
    assert set(inputs) == {"file:models.py", "file:data.sql"}
