"""Two loaders are the same when they load the same, and one that cannot be told is refused."""

from __future__ import annotations

import dataclasses
import enum
import functools
import importlib.util
import itertools
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pytest_pristine.errors import LayerError
from pytest_pristine.loading import sources
from pytest_pristine.loading.loader import Loader

_numbers = itertools.count()


@dataclasses.dataclass
class Shop:
    """A plain object that has a loader for a method."""

    name: str

    def load(self, engine: object) -> None:
        """Load nothing."""


class Rival(Shop):
    """Another one that is no dataclass of its own."""


class Stateful:
    """What it would load cannot be known."""

    def load(self, engine: object) -> None:
        """Load nothing."""


class Kind(enum.Enum):
    """Two values."""

    ONE, TWO = 1, 2


def plain(engine: object, *_: object) -> None:
    """Load nothing."""


def around(*values: object) -> Callable[[object], object]:
    """A function that carries values from run to run."""
    return lambda engine: (engine, values)


def digest(load: Any, *inputs: object, root: Path = Path(__file__).parent) -> str:  # noqa: ANN401 - also what is no function
    """What a loader is told by."""
    return Loader.of(load, inputs, root).fingerprint()


def recursive() -> Callable[[object], object]:
    """A function that refers to itself."""

    def load(engine: object) -> object:
        return load if engine else None

    return load


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Any]]:
    """A function that writes and imports a module, and gives it."""
    monkeypatch.syspath_prepend(tmp_path)
    before = set(sys.modules)

    def write(source: str, name: str = "") -> Any:  # noqa: ANN401 - a module whose names nobody knows
        name = name or f"loader_{next(_numbers)}"
        path = tmp_path / f"{name.replace('.', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(source, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(name, path)
        assert spec is not None
        assert spec.loader is not None
        made = importlib.util.module_from_spec(spec)
        sys.modules[name] = made
        spec.loader.exec_module(made)
        return made

    yield write
    for name in set(sys.modules) - before:
        del sys.modules[name]


DIFFERENT = [
    (plain, functools.partial(plain, None)),
    (functools.partial(plain, None, 1), functools.partial(plain, None, 2)),
    (functools.partial(plain, _=1), functools.partial(plain, x=1)),
    (around(1), around(2)),
    (around(1), around("1")),
    (around([1, 2], [1]), around([1], [2, 1])),
    (around({"a": 1}), around({"b": 1})),
    (around(Kind.ONE), around(Kind.TWO)),
    (around(Path("a")), around(Path("b"))),
    (around(plain), around(recursive)),
    (Shop("a").load, Shop("b").load),
    (Shop("a").load, Rival("a").load),
    (lambda engine: (engine, 1), lambda engine: (engine, 2)),
    (lambda engine: (engine, {1, 2}), lambda engine: (engine, {1, 3})),
]


@pytest.mark.parametrize("loaders", DIFFERENT)
def test_different_loaders(loaders: tuple[Any, Any]) -> None:
    """What a function is, and what it carries, tells it from another."""
    first, second = map(digest, loaders)
    assert first != second
    assert first == digest(loaders[0])


SAME = [
    (lambda: around(1, ["a"], {"b": {3, 4}}), "values"),
    (lambda: functools.partial(plain, 1), "a partial"),
    (lambda: Shop("a").load, "a method of a dataclass"),
    (recursive, "one that refers to itself"),
]


@pytest.mark.parametrize("make", [make for make, _ in SAME], ids=[name for _, name in SAME])
def test_equal_loaders(make: Callable[[], Any]) -> None:
    """One that carries equal values is the same, whichever objects they are."""
    assert digest(make()) == digest(make())
    assert Loader.of(make(), [], Path()) == Loader.of(make(), [], Path())


def test_which_object_is_which() -> None:
    """An object that comes twice is told by the place where it came first."""
    first, second = [1], [2]
    assert digest(around(first, second, first)) != digest(around(first, second, second))


def made(number: int) -> tuple[type, object, Callable[..., object], object]:
    """A class, an object of a dataclass, a method of a class and a value of an enum, all made by a function."""

    class Helper:
        value = number

    @dataclasses.dataclass
    class Local:
        def load(self, engine: object) -> object:
            return engine, number

    class Choice(enum.Enum):
        ONE = number

    return Helper, Local().load, type("Shop", (Rival,), {"load": classmethod(plain)}).load, Choice.ONE  # type: ignore[attr-defined]


HELPER, LOCAL, METHOD, CHOICE = made(1)
REFUSED = [
    (around(HELPER), "the class made.<locals>.Helper, which is not found by this name in the module tests.loading"),
    (
        LOCAL,
        "the object that made.<locals>.Local.load is a method of: the class made.<locals>.Local, which is not found",
    ),
    (METHOD, "the object that plain is a method of: the class Shop, which is not found by this name in the module"),
    (around(CHOICE), "the class made.<locals>.Choice, which is not found by this name in the module tests.loading"),
    (
        Stateful().load,
        "the object that Stateful.load is a method of: an object of tests.loading.test_identity.Stateful",
    ),
    (around(object()), "the variable values around around.<locals>.<lambda>: an object of object, of which nothing"),
    (functools.partial(plain, object()), "an argument of the loader: an object of object"),
    (print, "the loader: the built-in function print"),
    (Stateful(), "an object of tests.loading.test_identity.Stateful, which cannot be called"),
    (eval("lambda engine: 1"), "has no source file: <string>"),  # noqa: S307 - there is no file
]


@pytest.mark.parametrize(("load", "found"), REFUSED)
def test_what_cannot_be_told(load: Any, found: str) -> None:  # noqa: ANN401 - also what is no function
    """A loader of which nothing is known that lasts from run to run is refused, and the message names what it is."""
    with pytest.raises(LayerError) as raised:
        digest(load)
    assert raised.value.sought.startswith("what the layer of ")
    assert found in raised.value.found
    assert raised.value.remedy


def test_files_that_are_named(tmp_path: Path) -> None:
    """A file or a directory that is named counts by its content, from the loader's own directory or the root."""
    (tmp_path / "data").mkdir()
    names = tmp_path / "data" / "names.csv"
    names.write_text("ada", encoding="utf-8")
    before = digest(plain, "data", root=tmp_path), digest(plain, Path("data/names.csv"), root=tmp_path)
    assert digest(plain, names, root=tmp_path) not in before  # another path
    assert digest(plain, Path(__file__).name) != digest(plain, "__init__.py")
    names.write_text("bob", encoding="utf-8")
    after = digest(plain, "data", root=tmp_path), digest(plain, Path("data/names.csv"), root=tmp_path)
    assert all(first != second for first, second in zip(before, after, strict=True))


def test_values_that_are_named() -> None:
    """Other values count as they are."""
    assert digest(plain, 1, ("v1",)) == digest(plain, 1, ("v1",))
    assert digest(plain, 1) != digest(plain, 2)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """A path that leads nowhere is an error, not a value: it is misspelt."""
    with pytest.raises(LayerError) as raised:
        digest(plain, "custmers.csv", root=tmp_path)
    assert raised.value.found == f"no custmers.csv in {Path(__file__).parent} or {tmp_path}"
    assert raised.value.remedy == ("correct the path in inputs, or, if it is no file: inputs=[('custmers.csv',)]",)


def test_a_path_instead_of_a_list(tmp_path: Path) -> None:
    """A text is no list of one-letter paths."""
    with pytest.raises(LayerError) as raised:
        Loader.of(plain, "customers.csv", tmp_path)
    assert raised.value.remedy == ("give a list: inputs=['customers.csv']",)


def test_what_a_loader_is_called(tmp_path: Path) -> None:
    """People read the function's own name and its file."""
    assert Loader.of(functools.partial(Shop("a").load), [], Path(__file__).parent).name == (
        "Shop.load in test_identity.py"
    )
    assert Loader.of(around(1), [], tmp_path).name == f"<lambda> in {Path(__file__).as_posix()}"


def test_the_module_counts_as_a_whole(module: Callable[..., Any]) -> None:
    """Whatever changes in the loader's module may change what it loads."""
    source = "LIMIT = 1\ndef load(engine): return LIMIT\n"
    first, second = (digest(module(text, "sample").load) for text in (source, source.replace("1", "2")))
    assert first != second


def test_modules_that_are_imported(module: Callable[..., Any], tmp_path: Path) -> None:
    """What the loader's module imports counts, in turn and however it is written; what it does not import does not."""
    module("import os\nSIZE = 3\n", "helpers")
    module("", "package.__init__")
    sys.modules["package"] = sys.modules["package.__init__"]
    module("from helpers import SIZE\n", "package.deep")
    module("SIZE = 4\n", "stranger")
    loader = module("def load(engine):\n    from package import deep\n    import missing_module\n", "main_loader")
    found = sources.reached([sources.Origin(Path(loader.__file__), "")])
    own = {path.name for path in found if path.is_relative_to(tmp_path)}
    assert own == {"main_loader.py", "deep.py", "__init__.py", "helpers.py"}
    assert any(path.name == "os.py" for path in found)


def test_relative_imports(module: Callable[..., Any], tmp_path: Path) -> None:
    """A relative import begins with the package of the module that it stands in."""
    module("", "shop")
    module("NAMES = []\n", "shop.names")
    loader = module("def load(engine):\n    from .names import NAMES\n    from . import names\n", "shop.load")
    found = sources.reached([sources.Origin(Path(loader.__file__), "shop")])
    assert {path.name for path in found if path.is_relative_to(tmp_path)} == {"load.py", "names.py", "shop.py"}
