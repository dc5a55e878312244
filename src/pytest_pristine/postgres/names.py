"""Names of the databases that we make.

Postgres cuts names silently after 63 bytes, which would make two names one: every name here is built to fit.
"""

from __future__ import annotations

import hashlib
import re
import secrets

# Bytes of an identifier that Postgres keeps (NAMEDATALEN - 1).
LIMIT = 63

PREFIX = "pristine"
# Hexadecimal digits of a digest in a name: 48 bits, far from a collision among the templates of one server.
_DIGITS = 12


def digest(*parts: str) -> str:
    """A short digest of texts, for use in a name."""
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:_DIGITS]


def label(text: str) -> str:
    """A text as part of a name: lower-case ASCII letters, digits and underscores, at most 20 of them."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:20] or "project"


def template(project: str, fingerprint: str) -> str:
    """The name of a sealed template."""
    return f"{PREFIX}_{label(project)}_{fingerprint}"


def scratch() -> str:
    """A name nobody has, for a database that is being made."""
    return f"{PREFIX}_scratch_{secrets.token_hex(6)}"


def fresh(project: str, run: str) -> str:
    """A name nobody has, for a database of one test alone."""
    return f"{PREFIX}_{label(project)}_{run}_fresh_{secrets.token_hex(3)}"


def kept(project: str) -> str:
    """A name nobody has, for the database of a failed test that is kept."""
    return f"{PREFIX}_{label(project)}_failed_{secrets.token_hex(3)}"


def is_kept(name: str) -> bool:
    """Whether a name is one that `kept` gives."""
    return re.fullmatch(rf"{PREFIX}_\w+_failed_[0-9a-f]{{6}}", name) is not None


def of_worker(target: str | None, project: str, run: str, worker: str) -> str:
    """The name of the database that a run makes for a worker.

    Args:
        target: The database that the user named, if there is one.
        project: The project's label.
        run: Id of the run, or what stands for it.
        worker: The worker's name.
    """
    return clone(target or f"{PREFIX}_{project}", run, worker)


def clone(base: str, run: str, worker: str) -> str:
    """The name of a worker's database; `base` is shortened so that run and worker always fit."""
    ending = f"_{run}_{label(worker)}"
    return _shorten(base, LIMIT - len(ending)) + ending


def _shorten(name: str, size: int) -> str:
    """The longest beginning of a name that fits into `size` bytes of UTF-8."""
    return name.encode()[:size].decode(errors="ignore")
