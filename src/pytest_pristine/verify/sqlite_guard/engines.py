"""SQLAlchemy's engines for SQLite that never connected.

A dialect is told of each engine made for it. SQLAlchemy is not imported here: we wait until somebody does.
"""

from __future__ import annotations

import gc
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from pytest_pristine.verify.sqlite_guard import uses

_DIALECT = "sqlalchemy.dialects.sqlite.base"
_SQLITE = "sqlite"
# Holders between an engine and a module: an asynchronous engine, a session factory and its keywords.
_DEPTH = 4
# Objects that one object is held by and that are looked at.
_WIDTH = 50
_CONTAINERS = (dict, list, tuple)
# What a module that makes engines has among its names.
_MAKERS = frozenset({"create_engine", "create_async_engine", "sqlalchemy", "sa", "sqlmodel"})


def attend() -> None:
    """Be told of engines from now on, or from when SQLAlchemy loads its dialect."""
    loaded = sys.modules.get(_DIALECT)
    if loaded is not None:
        _attend_to(loaded)
    else:
        sys.meta_path.insert(0, _Finder())


class _Finder(MetaPathFinder):
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
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is not None and spec.loader is not None:
            _attend_after(spec.loader)
            sys.meta_path.remove(self)
        return spec


def _attend_after(loader: Loader) -> None:
    load = loader.exec_module

    def exec_module(module: ModuleType) -> None:
        load(module)
        _attend_to(module)

    loader.exec_module = exec_module  # type: ignore[method-assign]  # of this one loader


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


def living(allow: Iterable[str], root: str, plugins: frozenset[str]) -> list[str]:
    """The engines for SQLite that there are by now, in words: where each is, and for which database.

    Args:
        allow: Patterns of modules that may have one.
        root: pytest's root directory.
        plugins: Modules of pytest's plugins, which may too.
    """
    if _DIALECT not in sys.modules:
        return []
    base = sys.modules["sqlalchemy.engine"].Engine
    engines: list[Any] = [each for each in gc.get_objects() if isinstance(each, base)]
    found = []
    for engine in [each for each in engines if each.dialect.name == _SQLITE]:
        where = _held_by(engine)
        module = where.rpartition(".")[0]
        if module and (uses.allows(allow, [where, module]) or module.partition(".")[0] in plugins or module in plugins):
            continue
        found.append(f"{where or 'an engine that no module holds'}: made when it was imported, for SQLite database "
                     f"{uses.name(_database(engine), root)!r}")  # fmt: skip
    return found


def _held_by(engine: object) -> str:
    """The attribute of a module that holds an object, itself or through others; empty where none does."""
    loaded = {id(vars(module)): name for name, module in tuple(sys.modules.items())}
    seen, level = {id(engine)}, [engine]
    for _ in range(_DEPTH):
        found: list[tuple[bool, str]] = []
        above: list[object] = []
        for held in level:
            for holder in gc.get_referrers(held)[:_WIDTH]:
                if id(holder) in loaded and isinstance(holder, dict):
                    names = [name for name, value in holder.items() if value is held]
                    found += [(not _MAKERS.isdisjoint(holder), f"{loaded[id(holder)]}.{name}") for name in names]
                elif id(holder) not in seen and (isinstance(holder, _CONTAINERS) or hasattr(holder, "__dict__")):
                    seen.add(id(holder))
                    above.append(holder)
        if found:
            # Others import it from the module that made it, as a rule.
            return max(found)[1]
        level = above
    return ""
