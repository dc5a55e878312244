"""The exit statuses, of pytest and of the command line."""

from __future__ import annotations

import pytest

from docs.generate import words
from pytest_pristine.cli import parser

# What each of pytest's means where this plugin has a part in it.
OF_PYTEST = {
    pytest.ExitCode.OK: "All tests passed. With `pristine_strict`, every item of the checklist is proven too.",
    pytest.ExitCode.TESTS_FAILED: "A test failed, or a fixture of ours did: a migration, a restore. Or all passed, and "
    "`pristine_strict` found an item of the checklist that is not proven, or the schema is covered less than "
    "`pristine_schema_cov_fail_under` asks for.",
    pytest.ExitCode.INTERRUPTED: "The run was interrupted: Ctrl-C, or errors while tests were collected.",
    pytest.ExitCode.INTERNAL_ERROR: "An error within pytest or a plugin. If it is ours, please report it.",
    pytest.ExitCode.USAGE_ERROR: "The run could not begin: a setting that cannot be used, no server, a server that "
    "lacks what the project needs, a database that is not ours. The message has what was sought and found, and what to "
    "type. No test is skipped for want of a database.",
    pytest.ExitCode.NO_TESTS_COLLECTED: "No tests were found, or the arguments selected none.",
    # pytest's own addition for warnings beyond a maximum.
    6: "pytest's `--max-warnings` was exceeded.",
}


def text() -> str:
    """The page."""
    rows = []
    for code in pytest.ExitCode:
        if code not in OF_PYTEST:
            raise words.UndocumentedError(f"exit status {code.value} of pytest has no words")
        rows.append([str(code.value), f"`{code.name}`", OF_PYTEST[code]])
    return words.page(
        "Exit statuses",
        "## pytest",
        words.table(["status", "name", "means"], rows),
        "## pristine",
        " ".join((parser.build().epilog or "").split()).replace("exit status: ", "Exit status "),
        "[The command line](../commands.md#exit-status) has them by command.",
    )
