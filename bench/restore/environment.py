"""The benchmark's own virtual environment: this checkout, the alternatives it is compared with, and matplotlib.

Needs nothing but Python: it runs before the environment is there.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

_HERE = Path(__file__).resolve().parent
REPOSITORY = _HERE.parent.parent
DIRECTORY = _HERE / ".environment"
_REQUIREMENTS = _HERE / "requirements.txt"
# Seconds for one call of pip.
_PIP_SECONDS = 600


def is_ours() -> bool:
    """Whether this Python is that of the environment."""
    return Path(sys.prefix).resolve() == DIRECTORY


def provide() -> Path:
    """The Python of the environment, which is made anew when what belongs in it changed.

    The stamp is written last: an environment whose making was interrupted has none.
    """
    stamp, wanted = DIRECTORY / "stamp", _fingerprint()
    if not (stamp.is_file() and stamp.read_text(encoding="utf-8") == wanted and _python().exists()):
        shutil.rmtree(DIRECTORY, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "venv", str(DIRECTORY)], check=True)
        _pip("install", "--editable", str(REPOSITORY), "--requirement", str(_REQUIREMENTS))
        stamp.write_text(wanted, encoding="utf-8")
    return _python()


def _fingerprint() -> str:
    pyproject = tomllib.loads((REPOSITORY / "pyproject.toml").read_text(encoding="utf-8"))
    parts = [pyproject["build-system"], pyproject["project"], _REQUIREMENTS.read_text(encoding="utf-8")]
    return hashlib.sha256(json.dumps([*parts, sys.version, sys.base_prefix, str(REPOSITORY)]).encode()).hexdigest()


def _python() -> Path:
    return DIRECTORY / "bin" / "python"


def _pip(*arguments: str) -> None:
    command = [str(_python()), "-m", "pip", "--disable-pip-version-check", "--quiet", *arguments]
    subprocess.run(command, check=True, timeout=_PIP_SECONDS)
