"""SQLAlchemy's engines for SQLite that never connected.

A dialect is told of each engine made for it. SQLAlchemy is not imported here: we wait until somebody does.
"""

from __future__ import annotations

import gc
import sys
from collections.abc import Callable, Sequence
from importlib.machinery import ModuleSpec
from types import FrameType, ModuleType
from typing import Any, NamedTuple

from pytest_pristine.verify.sqlite_guard import uses

_DIALECT = "sqlalchemy.dialects.sqlite.base"
_SQLITE = "sqlite"
# Holders between an engine and a module: an asynchronous engine, a session factory and its keywords.
_DEPTH = 4
# Objects that one object is held by and that are looked at.
_WIDTH = 50
# What a module that makes engines has among its names.
_MAKERS = frozenset({"create_engine", "create_async_engine", "sqlalchemy", "sa", "sqlmodel"})


def attend() -> None:
    """Be told of engines from now on, or from when SQLAlchemy loads its dialect."""
    loaded = sys.modules.get(_DIALECT)
    if loaded is not None:
        _attend_to(loaded)
    else:
        # Not derived from the class in importlib.abc, which takes long to import.
        sys.meta_path.insert(0, _Finder())


class _Finder:
    """Notices that the dialect is loaded, and finds nothing itself."""

    def __init__(self) -> None:
        self._busy = False

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002 - the protocol's
        target: ModuleType | None = None,  # noqa: ARG002 - the same
    ) -> ModuleSpec | None:
        """Let the others find it, and be there when it has been loaded."""
        if fullname != _DIALECT or self._busy:
            return None
        import importlib.util  # of no use where SQLAlchemy's dialect is not

        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            _attend_after(spec.loader)
            sys.meta_path.remove(self)
        return spec


def _attend_after(loader: Any) -> None:  # noqa: ANN401 - whatever loads modules
    load = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        load(module)
        _attend_to(module)

    loader.exec_module = exec_module  # of this one loader


def _attend_to(module: ModuleType) -> None:
    dialect = module.SQLiteDialect
    usual = dialect.engine_created

    def engine_created(cls: Any, engine: Any) -> None:  # noqa: ANN401 - SQLAlchemy's classes
        usual.__func__(cls, engine)
        _made(engine)

    dialect.engine_created = classmethod(engine_created)


def _made(engine: Any) -> None:  # noqa: ANN401 - SQLAlchemy's
    from pytest_pristine.verify.sqlite_guard import watch  # it imports us

    running = watch.running()
    if running is not None:
        running.opens(uses.MADE, _database(engine))


def _database(engine: Any) -> str:  # noqa: ANN401 - SQLAlchemy's
    return engine.url.database or ":memory:"


def living(root: str, is_exempt: Callable[[str, str], bool]) -> list[str]:
    """The engines for SQLite that there are by now, in words: where each is, and for which database.

    Args:
        root: pytest's root directory.
        is_exempt: Whether a module may hold one, by its name and the attribute's.
    """
    if _DIALECT not in sys.modules:
        return []
    base = sys.modules["sqlalchemy.engine"].Engine
    # An object's type, and not what it says of itself: a proxy may come to life when it is asked.
    engines: list[Any] = [each for each in gc.get_objects() if issubclass(type(each), base)]
    found = []
    for engine in [each for each in engines if each.dialect.name == _SQLITE]:
        # Others import it from the module that made it, as a rule.
        holders = sorted(_holders(engine), reverse=True)
        deciding = [holder for holder in holders if holder.makes] or holders
        if holders and all(is_exempt(holder.module, holder.attribute) for holder in deciding):
            continue
        where = f"{holders[0].module}.{holders[0].attribute}" if holders else "an engine that no module holds"
        found.append(f"{where}: made when it was imported, for SQLite database {uses.name(_database(engine), root)!r}")
    return found


class _Holder(NamedTuple):
    """A module that holds an engine.

    Attributes:
        makes: It has something that makes engines.
        module: Its name.
        attribute: The name in it.
    """

    makes: bool
    module: str
    attribute: str


def _holders(engine: object) -> list[_Holder]:
    """The modules that hold an object, itself or through others."""
    modules = [each for each in tuple(sys.modules.items()) if issubclass(type(each[1]), ModuleType)]
    loaded = {id(vars(module)): name for name, module in modules}
    seen, level = {id(engine)}, [engine]
    for _ in range(_DEPTH):
        found: list[_Holder] = []
        above: list[object] = []
        for held in level:
            for holder in gc.get_referrers(held)[:_WIDTH]:
                if id(holder) in loaded and type(holder) is dict:
                    names = [name for name, value in holder.items() if value is held]
                    found += [_Holder(not _MAKERS.isdisjoint(holder), loaded[id(holder)], name) for name in names]
                elif id(holder) not in seen and holder is not level and type(holder) is not FrameType:
                    seen.add(id(holder))
                    above.append(holder)
        if found:
            return found
        level = above
    return []
