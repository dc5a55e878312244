"""No test skipped for want of a database: which reasons say so."""

from __future__ import annotations

import re
from collections.abc import Sequence

from pytest_pristine.verify import checklist
from pytest_pristine.verify.checklist import Item

KEY = "skips"
TITLE = "no test skipped for want of a database"

_REMEDY = "use the fixtures of pytest-pristine in them, and take out what skips them"


def _any(*expressions: str) -> re.Pattern[str]:
    """Any of these, in whatever case; words are whole where they begin and end with letters."""
    return re.compile("|".join(rf"(?<![A-Za-z0-9])(?:{each})" for each in expressions), re.IGNORECASE)


_DRIVER = r"(?:psycopg[23]?(?:cffi)?(?:[_-](?:binary|pool|c))?|asyncpg|aiopg|pg8000|libpq)\b"
_POSTGRES = _any(_DRIVER, r"\w*postgres", r"pg\b")
_DATABASE = _any(
    _DRIVER,
    r"\w*postgres",
    r"pg(?:_?(?:ctl|isready|host|port|dsn|url|uri|bin|vector))?\b",
    r"data[ -]?bases?\b",
    r"db\b",
    r"dsn\b",
    r"docker\b",
    r"podman\b",
    r"(?:test)?containers?\b",
    # Variables: TEST_DATABASE_URL, DB_HOST.
    r"(?:[a-z0-9]+_)*(?:db|database|databases|pg|sqlalchemy|postgres\w*)_\w+",
    r"\w+_(?:db|database|dsn)\b",
)
_STATES = (
    r"(?:available|set|configured|installed|found|running|reachable|accessible|defined|provided|present|specified|given"
    r"|enabled|up|started|ready|connected|connect|exist|responding|listening|there|here|import|reach|find|start)\b"
)
_WANT = _any(
    r"no\b",
    rf"not (?:be )?(?:\w+ )?{_STATES}",
    rf"\w+n't (?:\w+ )?{_STATES}",
    r"can(?:not|'t| not)\b",
    r"could(?: not|n't)\b",
    r"unavailable|unreachable|unset|unconfigured|undefined|unable",
    r"missing\b|without\b|lack(?:s|ing)?\b|absent\b|empty\b|none\b",
    r"requires?\b|required\b|needs?\b|needed\b",
    r"disabled\b|off(?:line)?\b|down\b|refused\b",
    r"failed to (?:connect|start|import|reach)\b",
    r"connection (?:error|failed|timed out|timeout)\b",
    r"set \S+ (?:to|for|in order)\b",
    r"only (?:runs? )?(?:with|when|if)\b",
)
# The database is there, and the test is not for it.
_OTHERWISE = _any(
    r"(?:not|un)[ -]?(?:supported|implemented|applicable|relevant|meaningful|needed|required|necessary)\b",
    r"(?:does not|doesn't|do not|don't|cannot|can't|can not) (?:support|allow|implement|apply|enforce|need|require|use"
    r"|handle)\b",
    r"(?:sqlite|mysql|mariadb|oracle|postgres\w*)[ -]only\b",
    r"only (?:for|on|in|supported|relevant|works?)\b",
    r"no (?:support|equivalent|concept|need|longer)\b",
    r"flaky\b|slow\b|known bug\b",
    # Of another version: "requires PostgreSQL >= 15".
    r"(?:postgres\w*|pg) ?(?:[<>=]|v?\d|versions?\b)",
)
# What somebody else's server is wanted for.
_ANOTHERS = _any(
    r"redis|mysql|mariadb|mongo|oracle|mssql|sql server|elasticsearch|kafka|rabbitmq|s3\b|minio|clickhouse|snowflake",
    r"bigquery|geoip|time ?zone|sqlite",
)


def is_for_want_of_a_database(reason: str) -> bool:
    """Whether the reason of a skip says that a database, its server, its URL, its driver or Docker is missing.

    Args:
        reason: What pytest shows, with or without "Skipped: ".
    """
    text = " ".join(reason.replace("\N{RIGHT SINGLE QUOTATION MARK}", "'").split())
    if _ANOTHERS.search(text) and not _POSTGRES.search(text):
        return False
    return bool(_DATABASE.search(text) and _WANT.search(text) and not _OTHERWISE.search(text))


def judge(skipped: Sequence[tuple[str, str]]) -> Item:
    """Judge the skips of a run.

    Args:
        skipped: Node id and reason of each; that of a module stands for all that is in it.
    """
    wanting = list(dict.fromkeys((test, reason) for test, reason in skipped if is_for_want_of_a_database(reason)))
    if wanting:
        offenders = tuple(f"{test}: {_short(reason)}" for test, reason in wanting)
        return Item(KEY, TITLE, checklist.FAILED, f"{len(wanting)} skipped for want of one", (_REMEDY,), offenders)
    others = f"{len(skipped)} skipped for other reasons" if skipped else "none skipped"
    return Item(KEY, TITLE, checklist.PASSED, others)


def _short(reason: str) -> str:
    """The first line, as it was written."""
    lines = reason.strip().removeprefix("Skipped: ").splitlines()
    return lines[0] if lines else ""
