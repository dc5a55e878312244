"""How an error tells what was sought, what was found and what to do."""

from __future__ import annotations

import inspect
import re

import pytest

from pytest_pristine import errors, settings
from pytest_pristine.errors import PristineError, ServerError, SettingError, UnreachableError


def drawn_tree() -> dict[str, str]:
    """Each class in the picture of the module's docstring, with the class that it hangs from."""
    parents: dict[str, str] = {}
    above: dict[int, str] = {}
    for line in str(errors.__doc__).splitlines():
        match = re.match(r"    ([ │]*)(?:[├└]── )?(\w+Error)\b", line)
        if match is not None:
            depth = (line.index(match[2]) - 4) // 4
            above[depth] = match[2]
            parents[match[2]] = above.get(depth - 1, "Exception")
    return parents


def test_the_picture_shows_the_classes() -> None:
    """The tree in the docstring is the tree of the classes."""
    classes = inspect.getmembers(errors, inspect.isclass)
    real = {name: cls.__base__.__name__ for name, cls in classes if issubclass(cls, PristineError)}
    assert drawn_tree() == real


@pytest.mark.parametrize("name", sorted(drawn_tree()))
def test_every_error_is_laid_out(name: str) -> None:
    """Every error carries its three parts as data and shows them under each other."""
    error = getattr(errors, name)("a server", "none", ["start one", "or name one"])
    assert (error.sought, error.found, error.remedy) == ("a server", "none", ("start one", "or name one"))
    assert str(error).splitlines() == [
        "sought:  a server",
        "found:   none",
        "to do:   start one",
        "to do:   or name one",
    ]


@pytest.mark.parametrize(
    ("place", "remedy"),
    [
        ("option", "give --pristine-pool a number of connections between 1 and 1000"),
        ("environ", "set PRISTINE_POOL to a number of connections between 1 and 1000, or unset it"),
        ("ini", "correct the line pristine_pool in the ini file: a number of connections between 1 and 1000"),
    ],
)
def test_a_value_that_cannot_be_read(place: str, remedy: str) -> None:
    """It is to be corrected where it was given, and what is right is told."""
    with pytest.raises(SettingError) as caught:
        settings.resolve(
            {"PRISTINE_POOL": "many"} if place == "environ" else {},
            lambda name: "many" if (place, name) == ("option", "pool") else None,
            lambda key: "many" if (place, key) == ("ini", "pristine_pool") else None,
        )
    assert caught.value.remedy == (remedy,)


def test_further_lines_are_indented() -> None:
    """A part of several lines stands in one column."""
    error = ServerError("a server", "url: none\nup: none", ["type\nthis"])
    assert str(error).splitlines() == [
        "sought:  a server",
        "found:   url: none",
        "         up: none",
        "to do:   type",
        "         this",
    ]


def test_an_error_without_a_remedy() -> None:
    """Where there is nothing to do, nothing is said about it."""
    assert str(UnreachableError("a", "b")) == "sought:  a\nfound:   b"


def test_an_empty_part_keeps_its_label() -> None:
    """A part without text breaks nothing."""
    assert str(UnreachableError("a", "")).splitlines() == ["sought:  a", "found:   "]
