"""Reports without passwords: a traceback shows the arguments of the driver, and locals when that is asked for."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.config import ConftestImportFailure
from _pytest.reports import CollectErrorRepr

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def redact(report: pytest.TestReport, url: URL) -> None:
    """Take a password out of the report of a test: out of its traceback, and of what it printed.

    Args:
        report: The report.
        url: Has the password.
    """
    from pytest_pristine.postgres import urls  # heavy, and loaded by now

    report.longrepr = _cleaned(report.longrepr, lambda text: urls.hide(text, url))
    report.sections = _cleaned(report.sections, lambda text: urls.hide(text, url))


def redact_collected(report: pytest.CollectReport, url: URL) -> None:
    """Take a password out of the report of a module that could not be collected; arguments as for `redact`."""
    from pytest_pristine.postgres import urls  # heavy, and loaded by now

    told = report.longrepr
    if isinstance(told, CollectErrorRepr):
        told.longrepr = urls.hide(told.longrepr, url)
    else:
        report.longrepr = _cleaned(told, lambda text: urls.hide(text, url))
    report.sections = _cleaned(report.sections, lambda text: urls.hide(text, url))


def of_import(failure: ConftestImportFailure, url: URL) -> str | None:
    """What pytest says of a conftest.py that cannot be imported, without a password; None when it has none."""
    from pytest_pristine.postgres import urls  # heavy, and loaded by now

    found = pytest.ExceptionInfo.from_exception(failure.cause)
    text = str(found.getrepr(style="short", chain=False))
    hidden = urls.hide(text, url)
    return None if hidden == text else f"ImportError while loading conftest '{failure.path}'.\n{hidden}"


def clean(data: Any, url: URL) -> Any:  # noqa: ANN401 - whatever JSON has
    """Data without a password.

    Args:
        data: Made of what JSON has.
        url: Has the password.
    """
    if not url.password:
        return data
    from pytest_pristine.postgres import urls  # heavy, and loaded by now

    def hidden(value: Any) -> Any:  # noqa: ANN401 - the same
        if isinstance(value, str):
            return urls.hide(value, url)
        if isinstance(value, dict):
            return {hidden(name): hidden(each) for name, each in value.items()}
        return [hidden(each) for each in value] if isinstance(value, list) else value

    return hidden(data)


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:  # noqa: ANN401 - pytest's representations are of many classes
    if isinstance(value, str):
        return clean(value)
    if type(value) in (list, tuple):
        return type(value)(_cleaned(each, clean) for each in value)
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith("_pytest."):
        for field in dataclasses.fields(value):
            setattr(value, field.name, _cleaned(getattr(value, field.name), clean))
    return value
