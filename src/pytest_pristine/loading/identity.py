"""What a function is: by what it is told from others, so that what it loaded once is not taken for something else.

Its own module counts as a whole. What it carries besides (arguments of a partial, variables of the function around it,
the object that it is a method of) counts by value. What has no value that lasts from run to run is refused.
"""

from __future__ import annotations

import dataclasses
import enum
import functools
import inspect
import operator
import sys
from collections.abc import Callable, Iterator, Sequence
from datetime import date, time, timedelta, tzinfo
from decimal import Decimal
from fractions import Fraction
from pathlib import Path, PurePath
from types import CodeType, FunctionType, MethodType, ModuleType
from typing import Any, TypeAlias
from uuid import UUID

from pytest_pristine.errors import LayerError
from pytest_pristine.loading import sources
from pytest_pristine.loading.sources import Origin
from pytest_pristine.migrations import fingerprint

# What loads data: it is given an engine, or an asynchronous one when it is a coroutine function.
Load: TypeAlias = Callable[[Any], object]

# What is told by its repr.
_PLAIN = (
    type(None), bool, int, float, complex, str, bytes, date, time, timedelta, tzinfo, Decimal, Fraction, UUID, PurePath,
    range,
)  # fmt: skip
_LOCALS = "<locals>"


@dataclasses.dataclass(frozen=True, slots=True)
class Identity:
    """What a function is.

    Attributes:
        name: What it is called, and where it stands, for people.
        parts: What it is told by.
        origins: The modules that it is made of.
    """

    name: str
    parts: tuple[str, ...]
    origins: tuple[Origin, ...]


def of(load: Load, inputs: Sequence[object], root: Path) -> Identity:
    """The identity of a function with what it is said to read.

    Args:
        load: The function.
        inputs: Paths, and other values.
        root: The project's root, for the name.

    Raises:
        LayerError: There is something that cannot be told, or a file that is not there.
    """
    name = _name(load, root)
    teller = _Teller(name)
    if not callable(load):
        raise teller.refusal(f"{_kind(load)}, which cannot be called", "give layer() a function that takes an engine")
    if isinstance(inputs, str | PurePath):
        raise teller.refusal(f"inputs={inputs!r}", f"give a list: inputs=[{str(inputs)!r}]")
    parts = [*teller.tell(load, "the loader"), *teller.tell_inputs(inputs, load, root)]
    return Identity(name, tuple(parts), tuple(dict.fromkeys(teller.origins)))


def _name(load: object, root: Path) -> str:
    plain = _innermost(load)
    code = getattr(plain, "__code__", None)
    called = getattr(plain, "__qualname__", None) or type(plain).__qualname__
    called = called.rpartition(f"{_LOCALS}.")[2]
    if code is None:
        return called
    file = Path(code.co_filename)
    where = file.relative_to(root) if file.is_relative_to(root) else file
    return f"{called} in {where.as_posix()}"


def _innermost(load: object) -> object:
    """The function within partials and methods."""
    while isinstance(load, functools.partial | MethodType):
        load = load.func if isinstance(load, functools.partial) else load.__func__
    return load


class _Teller:
    """Tells values, and notes the modules that they come from."""

    def __init__(self, name: str) -> None:
        self._name = name
        # By their ids, in order, and kept: ids of what is gone come again.
        self._told: dict[int, object] = {}
        self.origins: list[Origin] = []

    def refusal(self, found: str, remedy: str) -> LayerError:
        """The error for something that cannot be told."""
        return LayerError(f"what the layer of {self._name} depends on", found, [remedy])

    def tell_inputs(self, inputs: Sequence[object], load: Load, root: Path) -> Iterator[str]:
        """Tell the inputs that were given by hand: texts and paths are those of files."""
        code = getattr(_innermost(load), "__code__", None)
        places = [root] if code is None else [Path(code.co_filename).parent, root]
        for each in inputs:
            if isinstance(each, str | PurePath):
                yield from self._tell_file(Path(each), places)
            else:
                yield from self.tell(each, "one of its inputs")

    def _tell_file(self, path: Path, places: Sequence[Path]) -> Iterator[str]:
        found = next((place / path for place in places if (place / path).exists()), None)
        if found is None:
            looked = " or ".join(dict.fromkeys(map(str, places)))
            raise self.refusal(
                f"no {path.as_posix()} in {looked}",
                f"correct the path in inputs, or, if it is no file: inputs=[({path.as_posix()!r},)]",
            )
        digest = fingerprint.tree_digest(found) if found.is_dir() else fingerprint.file_digest(found)
        yield f"file {path.as_posix()} {digest}"

    def tell(self, value: object, what: str) -> Iterator[str]:
        """Tell a value.

        Args:
            value: The value.
            what: What it is, for the message.

        Raises:
            LayerError: It has no value that lasts from run to run.
        """
        if isinstance(value, enum.Enum):
            yield f"{type(value).__qualname__}.{value.name}"
            yield from self.tell(type(value), what)
        elif isinstance(value, _PLAIN):
            yield f"{type(value).__qualname__} {value!r}"
        elif id(value) in self._told:
            yield f"the same as {list(self._told).index(id(value))}"  # a function that refers to itself, say
        else:
            self._told[id(value)] = value
            yield from self._tell_whole(value, what)

    def _tell_whole(self, value: object, what: str) -> Iterator[str]:
        if isinstance(value, FunctionType):
            yield from self._tell_function(value)
        elif isinstance(value, MethodType):
            yield from self.tell(value.__func__, what)
            yield from self.tell(value.__self__, f"the object that {value.__func__.__qualname__} is a method of")
        elif isinstance(value, functools.partial):
            yield from self.tell(value.func, what)
            yield from self.tell(value.args, f"an argument of {what}")
            yield from self.tell(value.keywords, f"an argument of {what}")
        elif isinstance(value, type | ModuleType):
            yield from self._tell_module_of(value, what)
        elif isinstance(value, list | tuple | dict | set | frozenset):
            yield from self._tell_many(value, what)
        elif dataclasses.is_dataclass(value) and not isinstance(value, type):
            yield from self._tell_module_of(type(value), what)
            yield from self.tell({each.name: getattr(value, each.name) for each in dataclasses.fields(value)}, what)
        else:
            raise self.refusal(
                f"{what}: {_kind(value)}, of which nothing is known that lasts from run to run",
                "have the loader make it, or give it plain values, and name what else decides its data in inputs",
            )

    def _tell_many(self, value: Any, what: str) -> Iterator[str]:  # noqa: ANN401 - one of the collections
        yield f"{type(value).__qualname__} of {len(value)}"
        if isinstance(value, dict):
            for key, each in value.items():
                named = f"{what} ({key})" if isinstance(key, str) else what
                yield from self.tell(key, named)
                yield from self.tell(each, named)
        elif isinstance(value, set | frozenset):
            yield from sorted(" ".join(self.tell(each, what)) for each in value)
        else:
            for each in value:
                yield from self.tell(each, what)

    def _tell_function(self, function: FunctionType) -> Iterator[str]:
        file, called = Path(function.__code__.co_filename), function.__qualname__
        digest = fingerprint.file_digest(file)
        if not file.is_file():
            raise self.refusal(f"{called} has no source file: {file}", "write it in a module")
        self.origins.append(Origin(file, str(function.__globals__.get("__package__") or "")))
        yield f"function {function.__module__}.{called} {digest}"
        yield from _told_code(function.__code__)
        if _LOCALS in called:
            # The values that it had when it was made are those of the function around it.
            yield from self.tell(function.__defaults__, f"a default of {called}")
            yield from self.tell(function.__kwdefaults__, f"a default of {called}")
        variables = zip(function.__code__.co_freevars, function.__closure__ or (), strict=True)
        for name, cell in variables:
            try:
                value = cell.cell_contents
            except ValueError:
                yield f"{name} is not set"
                continue
            yield name
            yield from self.tell(value, f"the variable {name} around {called}")

    def _tell_module_of(self, value: type | ModuleType, what: str) -> Iterator[str]:
        name = value.__name__ if isinstance(value, ModuleType) else value.__module__
        yield f"{getattr(value, '__qualname__', 'module')} of {name}"
        module = sys.modules.get(name)
        origin = None if module is None else sources.origin(module)
        if isinstance(value, type) and not _is_found(value, module):
            # Two of one name may differ in what they were made of.
            found = f"{what}: the class {value.__qualname__}, which is not found by this name in the module {name}"
            raise self.refusal(found, "write it at the top of a module, and give its objects what tells them apart")
        if origin is not None:
            self.origins.append(origin)
            yield fingerprint.file_digest(origin.file)
        elif isinstance(value, type) and name == "__main__":
            raise self.refusal(f"{what}: the class {value.__qualname__}, which has no module", "write it in a module")


def _is_found(value: type, module: ModuleType | None) -> bool:
    """Whether a class is what its name says, and not one of many that a function makes."""
    try:
        return operator.attrgetter(value.__qualname__)(module) is value
    except AttributeError:
        return False


def _told_code(code: CodeType) -> Iterator[str]:
    """What tells one function of a module from another, however they are called: several lambdas stand on a line."""
    yield f"code {code.co_code.hex()} {code.co_names} {code.co_freevars} {code.co_varnames}"
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _told_code(constant)
        else:
            yield f"constant {sorted(map(repr, constant)) if isinstance(constant, frozenset) else repr(constant)}"


def _kind(value: object) -> str:
    kind = type(value)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"an object of {name}" if not inspect.isbuiltin(value) else f"the built-in function {value.__name__}"
