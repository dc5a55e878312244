"""Reports without passwords: a traceback shows the arguments of the driver, and locals when that is asked for."""

from __future__ import annotations

import dataclasses
import warnings
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import pytest
from _pytest.config import ConftestImportFailure
from _pytest.junitxml import xml_key
from _pytest.reports import CollectErrorRepr

from pytest_pristine.plugin import state

if TYPE_CHECKING:
    from sqlalchemy.engine import URL


def redact(report: pytest.TestReport, url: URL) -> None:
    """Take a password out of the report of a test: its traceback, its reasons, what it printed and recorded.

    Args:
        report: The report.
        url: Has the password.
    """
    from pytest_pristine.postgres import urls  # heavy, and loaded by now

    def hidden(text: str) -> str:
        return urls.hide(text, url)

    report.longrepr = _cleaned(report.longrepr, hidden)
    report.sections = _cleaned(report.sections, hidden)
    report.user_properties = [
        (_cleaned(name, hidden), _recorded(each, hidden)) for name, each in report.user_properties
    ]
    if hasattr(report, "wasxfail"):
        report.wasxfail = _cleaned(report.wasxfail, hidden)


class Redactor:
    """The hooks for what pytest shows besides reports: warnings, and the JUnit file."""

    def __init__(self, config: pytest.Config) -> None:
        self._config = config

    @pytest.hookimpl(tryfirst=True)
    def pytest_warning_recorded(self, warning_message: warnings.WarningMessage) -> None:
        """Take the server's password out of a warning before anybody notes it."""
        server = state.found(self._config)
        if server is not None:
            from pytest_pristine.postgres import urls  # heavy, and loaded by now

            said = str(warning_message.message)
            hidden = urls.hide(said, server.url)
            if hidden != said:
                # One of its own class might take other arguments. It is the category that is shown.
                warning_message.message = Warning(hidden)

    @pytest.hookimpl(tryfirst=True)
    def pytest_sessionfinish(self) -> None:
        """Take it out of what the JUnit file will hold: fixtures write there past all reports."""
        junit, server = self._config.stash.get(xml_key, None), state.found(self._config)
        if junit is not None and server is not None:
            from pytest_pristine.postgres import urls  # heavy, and loaded by now

            url = server.url
            junit.global_properties = [(name, urls.hide(str(value), url)) for name, value in junit.global_properties]
            for reporter in junit.node_reporters_ordered:
                for element in reporter.to_xml().iter():
                    element.text = element.text and urls.hide(element.text, url)
                    element.attrib.update({name: urls.hide(value, url) for name, value in element.attrib.items()})


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


def _recorded(value: object, clean: Callable[[str], str]) -> object:
    """What a test recorded. It may be of any class, and is shown as its text."""
    text = str(value)
    hidden = clean(text)
    return value if hidden == text else hidden


def _cleaned(value: Any, clean: Callable[[str], str]) -> Any:  # noqa: ANN401 - pytest's representations are of many classes
    if isinstance(value, str):
        return clean(value)
    if type(value) in (list, tuple):
        return type(value)(_cleaned(each, clean) for each in value)
    if dataclasses.is_dataclass(value) and type(value).__module__.startswith("_pytest."):
        for field in dataclasses.fields(value):
            setattr(value, field.name, _cleaned(getattr(value, field.name), clean))
    return value
