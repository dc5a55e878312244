"""Making the schema with a function of the project's, or from its models."""

from __future__ import annotations

import asyncio
import functools
import os
import sys
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import psycopg
import pytest
from sqlalchemy import Column, Enum, Integer, MetaData, Sequence, Table
from sqlalchemy.engine import URL

from pytest_pristine.errors import (
    MigrationError,
    MissingExtensionError,
    StepConfigError,
    StepFailedError,
    StrayMigrationError,
)
from pytest_pristine.migrations import evidence
from pytest_pristine.migrations.call import Call
from pytest_pristine.migrations.models import Models
from pytest_pristine.migrations.surroundings import Surroundings
from tests.conftest import EXTENSION, Server

_FUNCTIONS = """
    import asyncio, os, pathlib, psycopg, sqlalchemy

    SEED = pathlib.Path(__file__).with_name("seed.txt")

    def migrate(url):
        with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).begin() as connection:
            seed = SEED.read_text()
            connection.exec_driver_sql(f"CREATE TABLE made AS SELECT {os.getpid()} AS pid, '{seed}' AS seed")

    def plain(url, name):
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE TABLE {name} ()")

    async def later(url):
        await asyncio.sleep(0)
        migrate(url)

    def elsewhere(url):
        sqlalchemy.create_engine("postgresql+psycopg://app:geheim@no.such.host/production").connect()

    def nothing(url):
        pass

    def broken(url):
        print("on the way to", url)
        raise LookupError("no seed")

    def rejected(url):
        with sqlalchemy.create_engine(url, poolclass=sqlalchemy.NullPool).begin() as connection:
            connection.exec_driver_sql("CREATE EXTENSION no_such_extension")
"""
_MODELS = """
    from sqlalchemy import Column, Enum, Integer, MetaData, Table
    from sqlalchemy.orm import DeclarativeBase, mapped_column

    class Base(DeclarativeBase):
        pass

    class User(Base):
        __tablename__ = "users"
        id = mapped_column(Integer, primary_key=True)
        mood = mapped_column(Enum("sad", "glad", name="mood", schema="types"))

    empty = MetaData()
"""


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A project with functions that make tables, and with models."""
    for name, text in {"making.py": _FUNCTIONS, "models.py": _MODELS}.items():
        tmp_path.joinpath(name).write_text(dedent(text))
    tmp_path.joinpath("seed.txt").write_text("first")
    tmp_path.joinpath("orders.py").write_text(
        "from models import Base\nfrom sqlalchemy.orm import mapped_column\nfrom sqlalchemy import Integer\n"
        "class Order(Base):\n    __tablename__ = 'orders'\n    __table_args__ = {'schema': 'shop'}\n"
        "    id = mapped_column(Integer, primary_key=True)\n"
    )
    return tmp_path


def fails(migrator: Call | Models, url: URL, kind: type[MigrationError]) -> str:
    """Run it in vain; gives the message, in which no password may stand."""
    with pytest.raises(MigrationError) as caught:
        migrator.migrate(url)
    assert type(caught.value) is kind, caught.value
    assert str(url.password) not in str(caught.value)
    assert "geheim" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("function", ["migrate", "later"])
def test_a_function_in_a_process_of_its_own(root: Path, database: URL, server: Server, function: str) -> None:
    """A function, or a coroutine's, is called with the URL elsewhere, and what it read decides about its result."""
    call = Call(f"making:{function}", root=root)
    found = call.migrate(database)
    pid, seed = server.ask("SELECT pid, seed FROM made", database.database).split("|")
    assert (pid != str(os.getpid()), seed) == (True, "first")
    assert {"file:making.py", "file:seed.txt"} <= found.keys()
    assert call.current(found)
    root.joinpath("seed.txt").write_text("second")
    assert not call.current(found)
    known = evidence.of(found)
    assert known is not None
    assert known.ran == [f"call: making:{function}"]


def test_arguments(root: Path, database: URL, server: Server) -> None:
    """A function gets the arguments that are named, the URL without a driver among them."""
    Call("making:plain", ["{url:postgresql}", "named"], root=root).migrate(database)
    assert server.ask("SELECT count(*) FROM named", database.database) == "0"


def test_a_function_of_a_conftest(root: Path, database: URL, server: Server) -> None:
    """A function that no other process can import is called in this one, also where an event loop runs."""
    name = "local"

    async def local(url: str) -> None:
        with psycopg.connect(url) as connection:
            connection.execute(f"CREATE TABLE {name} AS SELECT {os.getpid()} AS pid")

    async def first_use() -> None:
        Call(local, ["{url:postgresql}"], root=root).migrate(database)

    asyncio.run(first_use())
    assert server.ask("SELECT pid FROM local", database.database) == str(os.getpid())


def test_a_function_that_can_be_imported(root: Path, database: URL, server: Server,
                                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    """A function of a module is called in a process of its own, as if it had been named; unless inline is asked for."""
    monkeypatch.syspath_prepend(root)
    monkeypatch.delitem(sys.modules, "making", raising=False)
    import making  # type: ignore[import-not-found]

    Call(making.migrate, root=root, surroundings=Surroundings.here()).migrate(database)
    assert server.ask("SELECT pid FROM made", database.database) != str(os.getpid())
    server.ask("DROP TABLE made", database.database)
    Call(making.migrate, root=root, inline=True).migrate(database)
    assert server.ask("SELECT pid FROM made", database.database) == str(os.getpid())
    with pytest.raises(LookupError, match="no seed"):
        Call("making:broken", root=root, inline=True).migrate(database)
    del sys.modules["making"]


def test_what_a_result_depends_on() -> None:
    """Another function of the same name, one made with other values, and other arguments are told apart."""

    def made(number: int) -> Callable[[str], object]:
        return lambda _: number

    def other(number: int) -> Callable[[str], object]:
        return lambda _: number + 1

    prints = [
        Call(function).fingerprint()
        for function in (made(1), made(2), other(1), functools.partial(made(1), 1), functools.partial(made(1), 2))
    ]
    prints += [Call("a:b").fingerprint(), Call("a:c").fingerprint(), Call("a:b", ["x"]).fingerprint()]
    assert len(set(prints)) == len(prints)
    assert Call(made(1)).fingerprint() == prints[0]


@pytest.mark.parametrize(
    ("function", "kind", "said"),
    [
        ("making:broken", StepFailedError, "LookupError: no seed"),
        ("making:nothing", StrayMigrationError, "left the database empty"),
        ("making:elsewhere", StrayMigrationError, "making:elsewhere connects to the postgresql database 'production'"),
        ("making:gone", StepConfigError, "making has no gone"),
        ("making:SEED", StepConfigError, "and nothing to call"),
        ("no_such.module:migrate", StepConfigError, "no module no_such.module"),
        ("making:rejected", MissingExtensionError, "no_such_extension"),
    ],
)
def test_what_fails(root: Path, database: URL, function: str, kind: type[MigrationError], said: str) -> None:
    """A function that raises, goes elsewhere, does nothing or is not there is an error that says so."""
    message = fails(Call(function, root=root), database, kind)
    assert said in message
    assert f"call: {function}" in message
    if function == "making:broken":
        assert "making.py, line 27: LookupError" in message
        assert "on the way to postgresql+psycopg://" in message


def test_models(root: Path, database: URL, server: Server) -> None:
    """Tables, types and the schemas that they are in are made from the models of all modules that are named."""
    found = Models("orders models:Base", root=root).migrate(database)
    assert server.ask("SELECT count(*) FROM shop.orders, users", database.database) == "0"
    assert server.ask("SELECT enum_range(NULL::types.mood)", database.database) == "{sad,glad}"
    assert {"file:models.py", "file:orders.py"} <= found.keys()
    known = evidence.of(found)
    assert known is not None
    assert known.ran == ["models: orders models:Base (2 tables)"]
    assert known.doubt == "no migrations were run: the tables are those of the models"


def test_a_metadata_itself(database: URL, server: Server) -> None:
    """A MetaData that is given is made as it is; its result depends on the statements that make it, and no file."""
    metadata = MetaData(schema="made")
    Table("users", metadata, Column("id", Integer, Sequence("ids", schema="made")), Column("m", Enum("a", name="m")))
    found = Models(metadata).migrate(database)
    assert server.ask("SELECT count(*) FROM made.users", database.database) == "0"
    assert found == {}
    before = Models(metadata).fingerprint()
    assert Models(metadata).fingerprint() == before
    Table("orders", metadata, Column("id", Integer))
    assert Models(metadata).fingerprint() != before


def test_extensions_of_models(database: URL, server: Server) -> None:
    """Extensions that are named are made before the tables."""
    metadata = MetaData()
    Table("users", metadata, Column("id", Integer))
    Models(metadata, [EXTENSION]).migrate(database)
    assert server.ask(f"SELECT count(*) FROM pg_extension WHERE extname = '{EXTENSION}'", database.database) == "1"


@pytest.mark.parametrize(
    ("models", "said"),
    [
        ("models:empty", "models:empty has no tables: the modules that define them are not imported"),
        ("models:User.id", "and no MetaData"),
        ("gone:Base", "no module gone"),
    ],
)
def test_no_models(root: Path, database: URL, models: str, said: str) -> None:
    """Models that are not there, or have no tables, are an error that says why."""
    assert said in fails(Models(models, root=root), database, StepConfigError)


def test_a_type_that_no_extension_made(root: Path, database: URL) -> None:
    """A type that is not there is told with the ways in which an extension is made."""
    root.joinpath("vectors.py").write_text(
        "from sqlalchemy import Column, MetaData, Table\nfrom sqlalchemy.types import UserDefinedType\n"
        "class Vector(UserDefinedType):\n    cache_ok = True\n"
        "    def get_col_spec(self):\n        return 'no_such_type'\n"
        "metadata = MetaData()\nTable('t', metadata, Column('v', Vector()))\n"
    )
    message = fails(Models("vectors:metadata", root=root), database, StepFailedError)
    assert 'type "no_such_type" does not exist' in message
    assert "pristine_extensions" in message
