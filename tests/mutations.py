"""Whether the tests notice when a branch of detecting and restoring is wrong: `python tests/mutations.py [-k WORD]`.

Each mutation is made in a copy of the sources, and the tests that must notice are run with it. First they are all run
with the sources as they are: what fails then proves nothing. The exit status is 1 when a mutation survives.
"""

from __future__ import annotations

import argparse
import os
import re
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parent.parent
SOURCES = ROOT / "src"
# Runs at a time.
TOGETHER = 2
# Seconds that a run may take.
DEADLINE = 120
# Exit statuses of pytest.
_PASSED, _FAILED = 0, 1


@dataclass(frozen=True)
class Mutation:
    """A change that makes the product wrong.

    Attributes:
        path: The module, below the package.
        original: What stands in it, exactly once.
        replacement: What stands there instead.
        tests: Arguments for pytest, paths below tests/.
        postgres: The version that they run on.
    """

    path: str
    original: str
    replacement: str
    tests: str
    postgres: int = 18

    def __str__(self) -> str:
        first, second = (" ".join(text.split()) for text in (self.original, self.replacement))
        return f"{self.path}: {first}  ->  {second or 'nothing'}"


OPEN = "isolation/test_open_transactions.py -k superuser"
ROLLBACK = "isolation/test_rollback.py -k '{}'"
WAYS = "isolation/test_ways.py -k 'superuser and {}'"
AS_OWNER = "isolation/test_ways.py -k 'owner and {}'"
PROOF = "isolation/test_proof.py -k {}"
MANIFEST = "isolation/manifest.py"
LEFT = "isolation/test_leftovers.py -k 'superuser and {}'"
PREPARED = "isolation/test_leftovers.py -k 'superuser and {}'"
BULK = "isolation/test_bulk.py -k 'superuser and {}'"
SCHEMA = "isolation/test_schema.py -k 'superuser and {}'"
SCHEMA_AS_OWNER = "isolation/test_schema.py -k 'owner and {}'"
OPEN_AS_OWNER = "isolation/test_open_transactions.py -k owner"
SPECIAL = "isolation/test_special.py -k 'superuser and {}'"
SPECIAL_AS_OWNER = "isolation/test_special.py -k 'owner and {}'"
WAL = "postgres/test_wal.py -k '{}'"
TRUNCATED = WAYS.format("(both_ways or filled_again)")
SNAPSHOTS = "postgres/test_snapshots.py"
LEASES = "workers/test_leases.py -k {}"
UNMEANT = "isolation/test_unmeant.py -k '{}'"

ISOLATION, WATCH, GATE = "isolation/isolation.py", "isolation/watch.py", "isolation/gate.py"
GUIDED, PROBES, FRESHNESS = "isolation/wal_guided.py", "isolation/probes.py", "isolation/freshness.py"
RESTORE, TRUNCATION, CATALOGUES = "isolation/restore.py", "isolation/truncation.py", "isolation/schema.py"
SESSION = "isolation/session.py"
BASELINE, LEFTOVERS, SESSIONS = "isolation/baseline.py", "isolation/leftovers.py", "postgres/sessions.py"

MUTATIONS = [
    # Whether anything can have happened.
    Mutation(ISOLATION, " and not look.moved:", ":", WAYS.format("not_logged")),
    Mutation(ISOLATION, "if look.snapshot == self._mark.foretold and", "if look.snapshot is None and",
             "isolation/test_ways.py -k one_round_trip"),
    Mutation(ISOLATION, "        while blocking:", "        while False:", LEFT.format("keep_writers_out")),
    Mutation(GATE, "'ShareLock', ", "", LEFT.format("keep_writers_out")),
    Mutation(GATE, "WHERE database = {database} AND granted", "WHERE granted", LEFT.format("another_database")),
    Mutation("postgres/snapshots.py", "if later != list(range(self.following, self.following + len(later))):",
             "if not own:", SNAPSHOTS),
    Mutation("postgres/snapshots.py", "(*self.running, *range(self.xmax, self.following))", "self.running", SNAPSHOTS),
    Mutation("postgres/snapshots.py", "(following - self.xmax) % _EPOCH", "following - self.xmax", SNAPSHOTS),
    # What outlives a test.
    Mutation(ISOLATION, "if self._leftovers.roll_back_prepared(self._watch.connection, look):", "if False:",
             PREPARED.format("prepared")),
    Mutation(SESSIONS, "FROM pg_prepared_xacts WHERE database = %s ORDER", "FROM pg_prepared_xacts WHERE %s > '' ORDER",
             PREPARED.format("another_database")),
    Mutation(LEFTOVERS, "self._locks = look.advisory", "self._locks |= look.advisory", LEFT.format("locks_there_are")),
    Mutation(LEFTOVERS, "left = look.advisory - self._locks", "left = look.advisory", LEFT.format("held_before")),
    Mutation(LEFTOVERS, '        if ended:\n            self.tell()\n        self.found += [f"an advisory',
             '        self.found += [f"an advisory', LEFT.format("kept_an_advisory_lock")),
    Mutation(LEFTOVERS, "            self._end_forgotten(connection)\n", "            pass\n",
             LEFT.format("was_forgotten")),
    Mutation(SESSIONS, "AND (state IN ('idle', 'disabled') OR state IS NULL)", "", LEFT.format("within_a_transaction")),
    Mutation(SESSIONS, "AND (state IN ('idle', 'disabled') OR state IS NULL)", "AND state = 'idle'",
             "isolation/test_leftovers.py -k 'owner and may_not_end'"),
    Mutation("isolation/large_objects.py", "present.get(oid) != description", "oid not in present",
             LEFT.format("large_objects_of_the_baseline")),
    Mutation(GUIDED, "large_objects=not _LARGE_OBJECTS.isdisjoint(written)", "large_objects=False",
             LEFT.format("large_objects")),
    Mutation(ISOLATION, "(), (), tuple(self._leftovers.found), remade", "(), (), (), remade", LEFT.format("beside")),
    Mutation(SESSIONS, "(str(query), str(at))", "(str(query), '')", "postgres/test_sessions.py"),
    # What is found in the WAL.
    Mutation(GUIDED, "        writes |= self._suspects\n", "", OPEN),
    Mutation(GUIDED, "open_ = {snapshots.lower(xid) for xid in until.open}", "open_: set[int] = set()", OPEN),
    Mutation(GUIDED, "writers = bool(until.open)", "writers = False", OPEN),
    Mutation(GUIDED, "        oids |= self._always | self.probes.ask(self._unlogged, fresh)\n", "",
             WAYS.format("not_logged")),
    Mutation(GUIDED, "written | schema.moved", "written", TRUNCATED),
    Mutation(GUIDED, "since.is_told and wal", "wal", OPEN),
    # What was rolled back.
    Mutation("postgres/wal.py", "'Sequence') AS stays\n        FROM {functions}.pg_get_wal_block",
             "'') AS stays\n        FROM {functions}.pg_get_wal_block", WAL.format("what_was_written")),
    Mutation("postgres/wal.py", "'aborted'", "'committed'", ROLLBACK.format("superuser and beside_it")),
    Mutation("isolation/aborted.py", "row[0] is not False", "row[0] is not None",
             ROLLBACK.format("owner and beside_it")),
    Mutation("isolation/aborted.py", "since.open or ", "", OPEN_AS_OWNER),
    Mutation("isolation/aborted.py", "if not since.is_told or", "if",  "isolation/test_ways.py"),
    Mutation("isolation/rollback.py", "            unheard.run(connection, _DEFER)\n", "",
             ROLLBACK.format("deferred_anew")),
    Mutation("isolation/rollback.py", "connection.get_nested_transaction() in list(_savepoints.values()) and ", "",
             ROLLBACK.format("at_each_commit")),
    Mutation("isolation/rollback.py", '                unheard.run(connection, f"ROLLBACK TO SAVEPOINT {name}")\n'
             "                raise", "                raise", ROLLBACK.format("violates_a_deferred")),
    Mutation("isolation/rollback.py", "        savepoint.close()\n", "        pass\n",
             ROLLBACK.format("of_the_application")),
    Mutation(GUIDED, "<= self.limit", "<= 2**62", WAYS.format("much_is_not_read")),
    Mutation("postgres/wal.py", "(errors.InternalError_, errors.UndefinedFile,", "(errors.InternalError_,",
             WAYS.format("wal_that_is_gone")),
    Mutation("postgres/wal.py", "errors.UndefinedFile, errors.InvalidParameterValue)", "errors.UndefinedFile)",
             WAYS.format("beyond_the_wal")),
    Mutation(GUIDED, "        self._suspects = frozenset(writes)\n", "        pass\n", OPEN),
    Mutation("postgres/wal.py", "relforknumber = 0 AND resource_manager IN ('Heap', 'Heap2', 'Sequence')",
             "relforknumber = 0 AND resource_manager IN ('Heap', 'Heap2')", WAL.format("what_was_written")),
    Mutation("postgres/wal.py", '"LOCK", ', "", WAL.format("what_was_written")),
    Mutation("postgres/wal.py", '"PRUNE_VACUUM_SCAN",', "", WAL.format("cleaning_up")),
    Mutation("postgres/wal.py", "set_config('synchronous_commit', 'local', true)", "1",
             WAL.format("buffers"), postgres=15),
    Mutation("postgres/wal.py", "'pytest-pristine', '', true)", "'pytest-pristine', '', false)",
             WAL.format("buffers")),
    # What is read ahead.
    Mutation(WATCH, "            if not moment.open:\n", "            if True:\n", OPEN),
    Mutation(GATE, "           OR inserted::pg_lsn - since::pg_lsn > near THEN\n", "THEN\n",
             WAYS.format("much_is_not_read")),
    Mutation(GATE, "        except wal.UNREADABLE:", "        except ZeroDivisionError:",
             WAYS.format("wal_that_is_gone")),
    Mutation(GATE, " or not since.is_told:", ":", OPEN),
    Mutation(GATE, "coalesce(relation::text, '')", "relation::text", SCHEMA.format("rewritten")),
    Mutation(GATE, "        COMMIT;\n        next", "        next", OPEN),
    Mutation("postgres/prepared.py", "except errors.InvalidSqlStatementName:", "except ZeroDivisionError:",
             "postgres/test_prepared.py"),
    Mutation("postgres/prepared.py", "if error.sqlstate is None and self.connection.closed:", "if False:",
             "postgres/test_prepared.py"),
    Mutation("postgres/wal.py", 'sql.SQL("SELECT {}::text, {}").format(_MESSAGE',
             'sql.SQL("SELECT (CASE WHEN {} > \'0/0\' THEN pg_current_wal_flush_lsn() END)::text, {}").format(_MESSAGE',
             WAL.format("end_of_a_record")),
    # Which transactions were open.
    Mutation(WATCH, "is_told = not (moment.open and self._is_written_to)", "is_told = True", OPEN),
    Mutation(WATCH, "bool(until.open) and sessions.may_be_written_to(self.connection)", "False", OPEN),
    Mutation(WATCH, "(oid, xid) for oid in SHARED for xid in xids", "()",
             "isolation/test_open_transactions.py -k elsewhere"),
    Mutation(WATCH, "if self._way is self.wal_guided:", "if self._way is not self.probes:", OPEN),
    Mutation(GUIDED, "self._next_suspects = frozenset((oid",
             "self._suspects = self._next_suspects = frozenset((oid", OPEN),
    Mutation(WATCH, "        open_ = _in_progress(self.connection, candidates)\n", "        open_ = set(told)\n", OPEN),
    Mutation(WATCH, "if ended := told - open_:", "if ended := set():", OPEN),
    Mutation(WATCH, "{*known, *range", "{*range", OPEN),
    Mutation(WATCH, "max(since.following, oldest), snapshot.following", "oldest, oldest", OPEN),
    Mutation(WATCH, " - {*since.own, *own}\n", "\n", OPEN),
    Mutation(WATCH, "{*told, *_in_progress(connection, range(min(told), look.snapshot.following))}", "set(told)", OPEN),
    Mutation(WATCH, "following=look.snapshot.following_at(flushed.following)", "following=look.snapshot.following",
             OPEN),
    Mutation(WATCH, "return _crash(connection) != self.crash", "return False",
             "isolation/test_ways.py -k restore_that_is_lost"),
    # What is found by asking.
    Mutation(PROBES, " OR log_cnt <> 0", "", AS_OWNER.format("by_chance")),
    Mutation(PROBES, "last_value <> {} OR is_called", "is_called", AS_OWNER.format("half_used")),
    Mutation(PROBES, " OR written > 0", "", WAYS.format("not_logged")),
    Mutation(PROBES, "rows <> {} OR written", "{} < 0 OR written", WAYS.format("not_logged")),
    Mutation(PROBES, "(view.oid in filled) != (self.baseline.views[view.oid] is not None)", "False",
             "isolation/test_restore.py -k 'owner and view'"),
    Mutation(FRESHNESS, " AND xmin <> ALL (%(own)s::xid[])", "", WAYS.format("we_wrote_ourselves")),
    Mutation(FRESHNESS, "%(some_open)s AND xmin", "false AND xmin", OPEN),
    # What is found in the catalogues.
    Mutation(CATALOGUES, "moved |= self._fresh_objects(oid, fresh) if oid == PG_CLASS else set()", "pass",
             TRUNCATED),
    Mutation(CATALOGUES, "self._describe_database() != self._database", "self._database is None",
             SCHEMA.format("properties")),
    Mutation(CATALOGUES, "if new or count != self._counts[oid] or", "if new or", SCHEMA.format("INDEX")),
    Mutation(CATALOGUES, "min(age(xmin)) <= age(%(following)s::xid)", "false", SCHEMA_AS_OWNER.format("COMMENT")),
    Mutation(CATALOGUES, "if new or total != self._totals[oid]}", "if new}", SCHEMA_AS_OWNER.format("DROP")),
    Mutation(CATALOGUES, "bool(new or fresh.open)", "bool(new)", OPEN_AS_OWNER),
    Mutation(CATALOGUES, "PG_CLASS, *self._rewritten()}", "PG_CLASS}", SCHEMA.format("rewritten")),
    Mutation(CATALOGUES, "if count != self._lasting[oid]}", "if count < 0}", SCHEMA.format("DROP")),
    # How it is put back.
    Mutation(RESTORE, "if kept != baseline.count(table):", "if False:", WAYS.format("hundred")),
    Mutation(RESTORE, "_page(last) >= _LONG + ", "_page(last) < -1 - ", BULK.format("baseline_rows_that_refers")),
    Mutation(RESTORE, "        if sequence.cached:", "        if False:", WAYS.format("in_advance")),
    Mutation(RESTORE, "[t.oid for t in armed], silence.IN_REPLICA_ROLE)", "[t.oid for t in armed], ())",
             SPECIAL.format("triggers")),
    Mutation("isolation/restore_as_owner.py", "except psycopg.errors.IntegrityError:", "except ZeroDivisionError:",
             SPECIAL_AS_OWNER.format("circle")),
    Mutation("isolation/rewriting.py", "except CycleError:", "except ZeroDivisionError:",
             SPECIAL_AS_OWNER.format("circle")),
    Mutation(WATCH, '" WITH NO DATA" if self.baseline.views[view.oid] is None else ""', '""',
             WAYS.format("held_no_data")),
    Mutation("isolation/undoing.py", "    if stale:\n", "    if False:\n", SCHEMA.format("stale")),
    Mutation(ISOLATION, "self._restore_changes(self._watch.compare(), moment, EVERYTHING)",
             "self._restore_changes(self._watch.compare(), moment, self._mark.fresh(()))",
             SCHEMA.format("loaded_on_top")),
    # What the application's own code writes meanwhile.
    Mutation(WATCH, "bool(baseline.armed) or events", "events", UNMEANT.format("owner")),
    Mutation(WATCH, "bool(baseline.armed) or events", "bool(baseline.armed)", UNMEANT.format("owner and sequence")),
    Mutation(WATCH, "not (meant.views and self.views_run)", "True", UNMEANT.format("superuser and view_that")),
    Mutation(WATCH, "oids |= {table.oid for table in tables if not baselines.holds(self.connection, table, "
             "rows.get(table.oid))}", "pass", UNMEANT.format("owner and logs")),
    Mutation("isolation/silence.py", "(NOT t.tgisinternal OR 'O' <> ALL (%(states)s))", "NOT t.tgisinternal",
             UNMEANT.format("always")),
    Mutation("isolation/system_catalogues.py", "FRESH_OR_OURS if self.is_compared else FRESH", "FRESH",
             UNMEANT.format("a_grant")),
    Mutation(SESSION, '("TimeZone", ', '("search_path", ', "isolation/test_restore.py -k decide_how"),
    Mutation(CATALOGUES, "if not _UNTOLD.search(name)} or every", "if not _UNTOLD.search(name)}",
             SCHEMA.format("nothing_better")),
    # Large tables.
    Mutation("isolation/undoing.py", "> _BULK", "> 2**62", BULK.format("of_its_own")),
    Mutation(BASELINE, "return oid in self and oid not in", "return oid not in", BULK.format("extension")),
    Mutation(BASELINE, " and oid not in self.rows and", " and", BULK.format("baseline_rows_that_refers")),
    Mutation(BASELINE, "oid not in self.rows and oid not in self.armed", "oid not in self.rows",
             BULK.format("trigger")),
    Mutation(TRUNCATION, "except psycopg.errors.LockNotAvailable:", "except ZeroDivisionError:",
             BULK.format("reader")),
    Mutation(TRUNCATION, 'sql.SQL("ONLY {}")', 'sql.SQL("{}")', BULK.format("heirs")),
    # Leases.
    Mutation("postgres/locks.py", "yield free and not is_held(connection, lease(run))", "yield free",
             LEASES.format("anchor")),
    Mutation("postgres/engines.py", "if contested and mark is not None", "if not contested and mark is not None",
             LEASES.format("taken_over")),
    Mutation("templates/workspace.py", "if not held or not self._is_ours(connection):", "if not held:",
             LEASES.format("taken_over")),
    Mutation("templates/workspace.py", "databases.oid(connection, name) == self.oid or (", "(",
             LEASES.format("comment")),
    Mutation("templates/retiring.py", " and each.oid not in used]", "]",
             LEASES.format("needed")),
    Mutation("templates/copies.py", "and found.mark.run == mark.run", "",
             "templates/test_rebuild.py -k took_over"),
    Mutation("templates/run.py", "if not free or self._is_anothers(target):", "if not free:",
             "templates/test_target.py -k two_runs"),
    Mutation("templates/in_place.py", " or _is_anothers(anchor.connection, target)", "",
             "templates/test_in_place.py -k beside_a_copy"),
    # Proofs, and what is told of a failed test.
    Mutation(MANIFEST, " OR digest <> {}", "", PROOF.format("missed")),
    Mutation(MANIFEST, "IS DISTINCT FROM value", "IS DISTINCT FROM value AND false", PROOF.format("missed")),
    Mutation(MANIFEST, "(before - there).total()", "0", PROOF.format("missed")),
    Mutation(MANIFEST, 'WHERE rows <> {}")', 'WHERE rows <> {} AND false")', PROOF.format("large")),
    Mutation("isolation/proof.py", "place = bisect_right(ends, writer)", "place = 0", PROOF.format("right_test")),
    Mutation("isolation/proof.py", "self.spent <= self.restoring * _SHARE", "False", PROOF.format("due")),
    Mutation(ISOLATION, "if not missed and (not alone or after.snapshot.open or before.moved or after.moved):",
             "if False:",
             PROOF.format("after_the_restore")),
    Mutation(ISOLATION, "if not missed and (not alone or after.snapshot.open or before.moved or after.moved):",
             "if True:",
             PROOF.format("missed")),
    Mutation("isolation/watch.py", "if self.large_objects.new() or self.large_objects.altered():", "if False:",
             PROOF.format("sees_all")),
    Mutation("isolation/description.py", "lost - changed)", "lost)", "verify/test_failures.py -k wrote"),
    Mutation("isolation/description.py", "if changed and max(", "if False and max(",
             "verify/test_failures.py -k wrote"),
]  # fmt: skip


def run(sources: Path, selection: tuple[str, int]) -> tuple[str, str]:
    """Run tests with other sources; gives `passed`, `failed` or `broken`, and what was printed.

    An exit status alone says little: Python's own for a traceback is the one of tests that failed. What is believed is
    pytest's last line.
    """
    tests, postgres = selection
    path, *further = shlex.split(tests)
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:randomly", "-p", "no:hypothesispytest",
               "-p", "no:cacheprovider", f"--timeout={DEADLINE}", f"tests/{path}", *further]  # fmt: skip
    environ = {**os.environ, "PYTHONPATH": str(sources), "PYTHONDONTWRITEBYTECODE": "1"}
    environ["PRISTINE_TEST_POSTGRES"] = str(postgres)
    # Not in tests/, where `packaging` would be a directory of ours.
    done = subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=False)
    last = done.stdout.strip().rpartition("\n")[2]
    if done.returncode == _PASSED and re.search(r"\b[1-9]\d* passed\b", last):
        return "passed", done.stdout
    if done.returncode == _FAILED and re.search(r"\b[1-9]\d* (failed|errors?)\b", last):
        return "failed", done.stdout
    return "broken", f"exit status {done.returncode}\n{done.stdout[-1500:]}{done.stderr[-1500:]}"


def outcome(originals: Path, mutation: Mutation) -> str:
    """What became of a mutation: `killed`, `SURVIVED`, or why it could not be tried."""
    with tempfile.TemporaryDirectory(prefix="mutation-") as directory:
        sources = Path(directory) / "src"
        shutil.copytree(originals, sources)
        path = sources / "pytest_pristine" / mutation.path
        text = path.read_text(encoding="utf-8")
        if text.count(mutation.original) != 1:
            return f"NOT FOUND exactly once, but {text.count(mutation.original)} times"
        path.write_text(text.replace(mutation.original, mutation.replacement), encoding="utf-8")
        found, output = run(sources, (mutation.tests, mutation.postgres))
    return {"failed": "killed", "passed": "SURVIVED"}.get(found, f"NOT TRIED: {output}")


def main(arguments: Sequence[str] | None = None) -> int:
    """Try the mutations that are asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("-k", metavar="WORD", default="", help="only mutations that mention it")
    word = parser.parse_args(arguments).k
    chosen = [mutation for mutation in MUTATIONS if word in f"{mutation} {mutation.tests}"]
    selections = sorted({(mutation.tests, mutation.postgres) for mutation in chosen})
    bad = 0
    with ThreadPoolExecutor(TOGETHER) as pool, tempfile.TemporaryDirectory(prefix="mutations-") as directory:
        # Somebody may edit them meanwhile.
        originals = Path(directory) / "src"
        shutil.copytree(SOURCES, originals, ignore=shutil.ignore_patterns("__pycache__"))
        for selection, (found, output) in zip(selections, pool.map(partial(run, originals), selections), strict=True):
            if found != "passed":
                bad += 1
                say(f"WITHOUT ANY MUTATION {found}: {selection[0]}\n{output[-1500:]}")
        for mutation, became in zip(chosen, pool.map(partial(outcome, originals), chosen), strict=True):
            bad += became != "killed"
            say(f"{became}  {mutation}")
    say(f"{len(chosen)} mutations, {bad} that count against the tests")
    return 1 if bad else 0


def say(line: str) -> None:
    """Print a line at once."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main())
