"""Whose use it is: the test's, or that of coverage.py, of a plugin of pytest or of an editor.

A frame of pytest always lies above a test's. It is the code nearest to SQLite that counts, libraries left out.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import FrameType
from typing import NamedTuple

# They open SQLite for somebody, and it is that one who counts. The standard library is told by its directory.
_LIBRARIES = frozenset(
    {
        "aiosqlite", "anyio", "asgiref", "exceptiongroup", "greenlet", "outcome", "pluggy", "sniffio", "sqlalchemy",
        "sqlite3", "trio", "uvloop",
    }
)  # fmt: skip
# Tools that work beside a test: measuring, distributing, debugging. We are one of them.
_TOOLS = frozenset(
    {
        "IPython", "debugpy", "execnet", "ipykernel", "ptvsd", "pytest_cov", "pytest_pristine", "pytest_testmon",
        "teamcity", "testmon", "vscode_pytest", "xdist",
    }
)  # fmt: skip
_TOOLS_BEGIN = ("pydevd", "_pydevd", "_pydev_", "_jb_", "pydev_")
# A tool, and a word that a project may have for a package of its own.
_MEASURING = "coverage"
_PYTEST = ("_pytest", "pytest")
_STANDARD_LIBRARY = os.path.dirname(os.__file__) + os.sep  # noqa: PTH120 - this runs at the start of processes
_INSTALLED = tuple(f"{os.sep}{name}{os.sep}" for name in ("site-packages", "dist-packages"))


class Finding(NamedTuple):
    """What a stack says.

    Attributes:
        tools: It is a tool's own use.
        place: The innermost frame of the test's or the application's code, else of an installed package; None when
            only libraries that open SQLite for others are on the stack.
        certain: The place is code of the project.
        modules: Names of the modules from the one that opens to the place.
        opener: The installed package, or the module of the project, that opens; empty when none is known.
    """

    tools: bool
    place: FrameType | None = None
    certain: bool = False
    modules: tuple[str, ...] = ()
    opener: str = ""


def outward(frame: FrameType | None) -> Iterator[FrameType]:
    """A frame and those that called it."""
    while frame is not None:
        yield frame
        frame = frame.f_back


def module(frame: FrameType) -> str:
    """The name of a frame's module."""
    return str(frame.f_globals.get("__name__") or "")


def is_code(frame: FrameType) -> bool:
    """Whether a frame is of the project: neither of the standard library nor installed."""
    return not is_tool(frame) and _is_code(frame) and _package(frame) not in (*_PYTEST, *_LIBRARIES)


def is_tool(frame: FrameType) -> bool:
    """Whether a frame is of a tool."""
    package = _package(frame)
    if package == _MEASURING:
        return not _is_code(frame)
    return package in _TOOLS or package.startswith(_TOOLS_BEGIN)


def _package(frame: FrameType) -> str:
    return module(frame).partition(".")[0]


def _is_code(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    if name.startswith("<frozen ") or name == "<__array_function__ internals>":
        return False
    return not (name.startswith(_STANDARD_LIBRARY) or any(part in name for part in _INSTALLED))


def find(frame: FrameType | None, plugins: frozenset[str]) -> Finding:
    """Whose use it is that a stack tells of.

    Args:
        frame: Its innermost frame.
        plugins: Names of the modules of pytest's plugins, conftest.py left out.
    """
    modules: list[str] = []
    # The innermost frames of an installed package, and of code without a file, which `eval` and `python -c` run.
    installed = fileless = None
    by_pytest, opener = False, ""
    for each in outward(frame):
        if is_tool(each):
            return Finding(tools=True)
        if _is_hook(each):
            # What a plugin's hook does itself is the plugin's; what pytest does in it for a test is the test's.
            own = not by_pytest and fileless is None
            return Finding(own, fileless or installed, certain=False, modules=tuple(modules), opener=opener)
        modules.append(module(each))
        package = _package(each)
        if package in _PYTEST:
            by_pytest = True
        elif is_code(each):
            opener = opener or module(each)
            if not each.f_code.co_filename.startswith("<"):
                own = _is_plugins_own(each, plugins)
                return Finding(own, each, certain=True, modules=tuple(modules), opener=opener)
            fileless = fileless or each
        elif installed is None and package not in _LIBRARIES and not _is_standard(each):
            installed = each
            opener = opener or package
    names = {*modules, *(name.partition(".")[0] for name in modules)} - _LIBRARIES
    # A thread of a plugin: what runs in the test's has pytest above it.
    own = not by_pytest and fileless is None and not names.isdisjoint(plugins)
    certain = fileless is not None
    return Finding(own, fileless or installed, certain=certain, modules=tuple(modules), opener=opener)


def _is_standard(frame: FrameType) -> bool:
    name = frame.f_code.co_filename
    return name.startswith(("<frozen ", _STANDARD_LIBRARY)) and not any(part in name for part in _INSTALLED)


def _is_hook(frame: FrameType) -> bool:
    """Whether it is here that pytest calls hooks. Applications that use pluggy have hooks of other names."""
    if _package(frame) != "pluggy" or frame.f_code.co_name != "_multicall":
        return False
    return str(frame.f_locals.get("hook_name", "")).startswith("pytest_")


def _is_plugins_own(frame: FrameType, plugins: frozenset[str]) -> bool:
    """Whether code of the project is a plugin of pytest, in a hook or a thread of its own and not in a fixture."""
    if module(frame) not in plugins:
        return False
    for each in outward(frame.f_back):
        if _is_hook(each):
            return True
        if _package(each) in _PYTEST or (is_code(each) and module(each) not in plugins):
            return False
    return True
