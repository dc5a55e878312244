"""Every setting with its value and where that came from, and what looks like a setting and is none."""

from __future__ import annotations

import difflib
from collections.abc import Iterator, Mapping, Sequence

from pytest_pristine import settings
from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.configuration import ANSWER
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.settings import Setting, Value

_VARIABLE = "PRISTINE_"
_KEY = "pristine_"
# Variables of this repository's own tests, and ours.
_KNOWN = (ANSWER, "PRISTINE_ORACLE_EXAMPLES")


def check(context: Context) -> Iterator[Finding]:
    """Tell every setting, then the misspelt ones."""
    for setting in settings.ALL:
        error = context.unreadable.get(setting.name)
        if error is not None:
            yield findings.of_error(setting.ini, error)
        else:
            value: Value[object] = getattr(context.settings, setting.name)
            yield findings.ok(setting.ini, f"{_shown(setting, value.value)}  ({value.origin})")
    yield from unknown_keys(context.configuration.keys)
    yield from unknown_variables(context.environ)


def unknown_keys(keys: Sequence[str]) -> Iterator[Finding]:
    """A warning for each key of the ini file that begins like ours and is none."""
    known = {setting.name: setting.ini for setting in settings.ALL}
    for key in keys:
        if key.startswith(_KEY) and key not in known.values():
            yield _unknown(key, "in the ini file", key.removeprefix(_KEY), known)


def unknown_variables(environ: Mapping[str, str]) -> Iterator[Finding]:
    """A warning for each variable that begins like ours and is none."""
    # One has a name of its own, and is looked for under the name that it would have.
    known = {setting.name: setting.environ for setting in settings.ALL}
    for name in sorted(environ):
        if name.startswith(_VARIABLE) and name not in (*known.values(), *_KNOWN):
            yield _unknown(name, "in the environment", name.removeprefix(_VARIABLE).lower(), known)


def _unknown(name: str, where: str, meant: str, known: Mapping[str, str]) -> Finding:
    nearest = difflib.get_close_matches(meant, known, n=1)
    remedy = f"did you mean {known[nearest[0]]}?" if nearest else f"the settings are: {', '.join(known.values())}"
    return findings.warning(name, f"no setting of ours, {where}", remedy)


def _shown(setting: Setting[object], value: object) -> str:
    if value is None:
        return "not set"
    if setting is settings.URL:
        return _shown_url(str(value))
    if isinstance(value, tuple):
        return " ".join(map(str, value)) or "none"
    if isinstance(value, bool):
        return str(value).lower()
    return f"{value:g} s" if isinstance(value, float) else str(value)


def _shown_url(text: str) -> str:
    from pytest_pristine.errors import NotAPostgresUrlError  # needed here alone
    from pytest_pristine.postgres import urls  # imports SQLAlchemy, which may be what is broken

    try:
        return urls.show(urls.parse(text, settings.URL.environ))
    except NotAPostgresUrlError:
        return "no Postgres URL (not shown: it may hold a password)"
