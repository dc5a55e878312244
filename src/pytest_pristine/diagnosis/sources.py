"""Every source of a server with its verdict, and which of them a run would use."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pytest_pristine.diagnosis import findings
from pytest_pristine.diagnosis.context import Context
from pytest_pristine.diagnosis.findings import Finding
from pytest_pristine.errors import PristineError
from pytest_pristine.migrations import extensions
from pytest_pristine.servers import needs, resolver
from pytest_pristine.servers.needs import Needs
from pytest_pristine.servers.sources import Found, Rejection, Source

_CHOICE = "a run uses"


def check(context: Context) -> Iterator[Finding]:
    """Ask every source whether it has a server, and start none."""
    wanted = of_project(context)
    if str(wanted):
        yield findings.ok("needed", f"a Postgres server{wanted}")
    asked = context.settings.server
    first: Finding | None = None
    rejected: list[Rejection] = []
    for source in resolver.SOURCES:
        answer = _look(source, context, wanted)
        yield judge(source.name, answer)
        if asked.value not in (resolver.AUTO, source.name) or first is not None:
            continue
        if isinstance(answer, Rejection):
            rejected.append(answer)
        else:
            first = _choice(source.name, answer, rejected)
    yield first or _none(context, rejected)


def of_project(context: Context) -> Needs:
    """What the project needs of a server."""
    return needs.read(context.settings, extensions.of_project(context.root, context.settings))


def _look(source: Source, context: Context, wanted: Needs) -> Found | Rejection | PristineError:
    try:
        return source.look(context.settings, wanted)
    except PristineError as error:
        return error


def judge(name: str, answer: Found | Rejection | PristineError) -> Finding:
    """What to say of a source: one that merely is not there does no harm while another is."""
    if isinstance(answer, PristineError):
        return findings.of_error(name, answer)
    if isinstance(answer, Found):
        return findings.ok(name, answer.what)
    if answer.notable:
        return findings.warning(name, f"passed over: {answer.reason}", *filter(None, [answer.remedy]))
    return findings.ok(name, f"none: {answer.reason}")


def _choice(name: str, answer: Found | PristineError, rejected: Sequence[Rejection]) -> Finding:
    """Which server a run would use, and why no other."""
    if isinstance(answer, PristineError):
        return findings.failed(_CHOICE, f"none: {name} was named, cannot be used, and no other is tried",
                               *answer.remedy)  # fmt: skip
    before = f", because there is none of {', '.join(each.source for each in rejected)}" if rejected else ""
    return findings.ok(_CHOICE, f"{name}{before}")


def _none(context: Context, rejected: Sequence[Rejection]) -> Finding:
    asked = context.settings.server
    why = "no source has a server" if asked.value == resolver.AUTO else f"{asked.origin} asks for {asked.value} alone"
    return findings.failed(_CHOICE, f"none: {why}", *(f"{each.source}: {each.remedy}" for each in rejected
                                                     if each.remedy))  # fmt: skip
