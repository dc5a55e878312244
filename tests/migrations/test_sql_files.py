"""Running files of SQL: which, in what order, how, and what is said when one fails."""

from __future__ import annotations

from pathlib import Path, PurePath
from textwrap import dedent

import pytest
from sqlalchemy.engine import URL

from pytest_pristine.errors import MigrationError, MissingExtensionError, StepConfigError, StepFailedError
from pytest_pristine.migrations import evidence, sql_order, sql_text
from pytest_pristine.migrations.sql_files import SqlFiles
from tests.conftest import Server


def write(root: Path, **files: str) -> SqlFiles:
    """Write files of a folder, and give what runs them."""
    for name, text in files.items():
        root.joinpath(f"{name}.sql").write_text(dedent(text), encoding="utf-8")
    return SqlFiles(root.name, root=root.parent)


def fails(migrator: SqlFiles, url: URL, kind: type[MigrationError] = StepFailedError) -> str:
    """Run it in vain; gives the message."""
    with pytest.raises(MigrationError) as caught:
        migrator.migrate(url)
    assert type(caught.value) is kind, caught.value
    assert str(url.password) not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize(
    "names",
    [
        "1_a 2_b 10_c",
        "001_a 002_b 010_c",
        "V1__a V1.1__b V1_2__c V2__d V10__e R__views",
        "20240101120000_a.up 20240102000000_b.up",
        "2024/01/a 2024/02/a 2024/10/a 2025/01/a",
        "20230101_first/migration 20230102_second/migration",
        "a B c",
    ],
)
def test_order(names: str) -> None:
    """Files are run by the numbers in their names, whatever tool they were written for."""
    paths = [PurePath(f"{name}.sql") for name in names.split()]
    assert sql_order.order(reversed(paths)) == paths


@pytest.mark.parametrize(
    "name", ["1_a.down", "1_a/down", "1_a.undo", "1_a.rollback", "U1__a", "V1__old", "beforeMigrate"]
)
def test_what_is_left_out(name: str) -> None:
    """What leads down, what a base of Flyway's replaces, and what is none of its versions is not run."""
    kept = [PurePath("B1__base.sql"), PurePath("V2__b.sql")] if name[0] in "UVb" else [PurePath("1_a.sql")]
    assert sql_order.order([PurePath(f"{name}.sql"), *kept]) == kept


def test_a_folder(tmp_path: Path, database: URL, server: Server) -> None:
    """All files of a folder are run, those below it too; what one sets for its session does not reach the next."""
    second = "INSERT INTO users VALUES (current_setting('app.name', true)), (current_schemas(false)::text);"
    first = """
        SELECT pg_catalog.set_config('search_path', '', false);
        SET app.name = 'leaks';
        CREATE TABLE public.users (name text) -- ends without a semicolon
    """
    migrator = write(tmp_path, V2__second=second, V1__first=first)
    found = evidence.of(migrator.migrate(database))
    assert server.ask("SELECT * FROM users", database.database).split() == ["{public}"]
    assert found is not None
    assert found.ran == [f"sql: {tmp_path.name} (2 files, the last V2__second.sql)"]


def test_ways_down_in_the_same_file(tmp_path: Path, database: URL, server: Server) -> None:
    """Of a file with both ways the way up is run, and lines are counted as in the whole file."""
    for number, (up, down) in enumerate((
        ("-- migrate:up", "-- migrate:down"), ("-- +goose Up", "-- +goose Down"),
        ("-- +migrate Up", "-- +migrate Down"), ("-- Up Migration", "-- Down Migration"),
    )):  # fmt: skip
        text = f"{down}\nDROP TABLE nowhere;\n{up}\nCREATE TABLE t{number} ();\n{down}\nDROP TABLE t{number};\n"
        tmp_path.joinpath(f"{number}.sql").write_text(text)
    SqlFiles(tmp_path).migrate(database)
    tables = server.ask("SELECT string_agg(tablename, ' ' ORDER BY 1) FROM pg_tables WHERE tablename LIKE 't_'",
                        database.database)  # fmt: skip
    assert tables == "t0 t1 t2 t3"
    tmp_path.joinpath("4.sql").write_text("-- migrate:down\nDROP TABLE nowhere;\n-- migrate:up\n\nSELECT 1/0;\n")
    assert "4.sql, line 5: division by zero" in fails(SqlFiles(tmp_path / "4.sql"), database)


@pytest.mark.parametrize(
    "header",
    [
        "-- pristine: no-transaction", "-- no-transaction", "-- migrate:up transaction:false",
        "-- +goose NO TRANSACTION", "-- +migrate Up notransaction", "-- atlas:txmode none",
    ],
)  # fmt: skip
def test_what_takes_no_transaction(tmp_path: Path, header: str) -> None:
    """A file may say, in the words of any of several tools, that it takes no transaction around it."""
    assert sql_text.takes_no_transaction(f"-- a comment\n{header}\nSELECT 1".encode())
    assert not sql_text.takes_no_transaction(f"SELECT '{header}'".encode())


def test_indexes_made_concurrently(tmp_path: Path, database: URL, server: Server) -> None:
    """CREATE INDEX CONCURRENTLY is refused within a transaction, with what to write, and works without one."""
    write(tmp_path, a="CREATE TABLE users (name text);")
    index = "CREATE INDEX CONCURRENTLY byname ON users (name);\nINSERT INTO users VALUES ('ada');\n"
    message = fails(write(tmp_path, b=index), database)
    assert "b.sql, line 1: CREATE INDEX CONCURRENTLY cannot run inside a transaction block" in message
    assert "begin the file with -- pristine: no-transaction" in message
    server.ask("DROP TABLE users", database.database)
    write(tmp_path, b="-- pristine: no-transaction\n" + index).migrate(database)
    assert server.ask("SELECT indisvalid FROM pg_index WHERE indexrelid = 'byname'::regclass", database.database) == "t"


def test_a_file_is_one_transaction(tmp_path: Path, database: URL, server: Server) -> None:
    """Of a file that fails nothing is left, and the error has its line, the server's words and the statement."""
    migrator = write(
        tmp_path, a="CREATE TABLE kept ();", b="CREATE TABLE gone ();\n\nINSERT INTO kept\nSELECT nowhere;\nSELECT 1;"
    )
    message = fails(migrator, database)
    assert f"to run {tmp_path.name}/b.sql in the database" in message
    assert f'{tmp_path.name}/b.sql, line 4: column "nowhere" does not exist' in message
    assert "in the statement: INSERT INTO kept" in message
    tables = "SELECT string_agg(tablename, ' ') FROM pg_tables WHERE schemaname = 'public'"
    assert server.ask(tables, database.database) == "kept"


def test_a_script_with_its_own_transactions(tmp_path: Path, database: URL, server: Server) -> None:
    """BEGIN and COMMIT in a file are as in psql; one that is left open is an error."""
    write(tmp_path, a="BEGIN;\nCREATE TABLE t (n int);\nCOMMIT;\nINSERT INTO t VALUES (1);\n").migrate(database)
    assert server.ask("SELECT n FROM t", database.database) == "1"
    migrator = write(tmp_path, a="-- no-transaction\nBEGIN;\nCREATE TABLE u ();\n")
    assert "it begins a transaction and does not end it" in fails(migrator, database, StepConfigError)


def test_what_holds_semicolons(tmp_path: Path, database: URL, server: Server) -> None:
    """Quotes, comments, bodies of functions, rules and escapes are read as psql reads them."""
    write(tmp_path, a=r"""
        /* ; /* ; */ ' */ CREATE TABLE t (x text DEFAULT 'a;b''c', y text DEFAULT E'\';', "z;" int); -- ' ;
        CREATE FUNCTION f(n int) RETURNS int LANGUAGE sql BEGIN ATOMIC
            SELECT CASE WHEN n > 1 THEN 1 ELSE 2 END; SELECT n + 1;
        END;
        CREATE OR REPLACE FUNCTION g() RETURNS text LANGUAGE plpgsql AS $$ BEGIN RETURN $x$;$$x$; END $$;
        CREATE RULE r AS ON UPDATE TO t DO (SELECT 1; SELECT 2);
        ;;
        INSERT INTO t DEFAULT VALUES; INSERT INTO t VALUES (f(1), '% %s %(a)s')
    """.replace("$x$;$$x$", "';'"))  # fmt: skip
    write(tmp_path).migrate(database)
    assert server.ask("SELECT x, y, g() FROM t", database.database).splitlines() == ["a;b'c|';|;", "2|% %s %(a)s|;"]


def test_a_dump(tmp_path: Path, database: URL, server: Server) -> None:
    """A plain dump of pg_dump's is restored: its rows, its settings, its words for psql, and what a new one sets."""
    server.ask(
        "CREATE TABLE users (id serial PRIMARY KEY, name text); CREATE SCHEMA app; CREATE TABLE app.empty ();"
        "INSERT INTO users (name) VALUES ('ada'), (E'\\\\.\\n\\ttab'), (NULL), ('-- migrate:down'), ('ü;');"
        "CREATE VIEW app.v AS SELECT name FROM users",
        database.database,
    )
    dump = server.dump(str(database.database)).split("\\connect", 1)[1].split("\n", 1)[1]
    assert "COPY public.users" in dump
    server.ask("DROP SCHEMA app CASCADE; DROP TABLE users", database.database)
    more = "SET transaction_timeout = 0;\n\\restrict abc\nCREATE SCHEMA public;\n"
    tmp_path.joinpath("dump.sql").write_text(more + dump + "\\unrestrict abc\n", encoding="utf-8")
    SqlFiles("dump.sql", root=tmp_path).migrate(database)
    found = server.ask("SELECT count(*), count(name), max(id), nextval('users_id_seq') FROM users", database.database)
    assert found == "5|4|5|6"
    assert server.dump(str(database.database)).count("ü;") == 1


def test_a_row_that_is_rejected(tmp_path: Path, database: URL) -> None:
    """The line of a bad row after COPY is told."""
    text = "CREATE TABLE t2 (n int);\n\nCOPY t2 FROM stdin;\n1\n2\nthree\n\\.\n"
    assert f'{tmp_path.name}/a.sql, line 6: invalid input syntax for type integer: "three"' in fails(
        write(tmp_path, a=text), database
    )


@pytest.mark.parametrize(
    ("text", "said", "remedy"),
    [
        ("SELECT 1;\n\\i other.sql\n", "line 2: \\i is a word of psql's, and no SQL",
         "command: psql -X -v ON_ERROR_STOP=1 -f"),
        ("SELECT 1 \\gset\n", "line 1: \\gset is a word of psql's", "command: psql"),
        ("\\connect shop\n", "\\connect is a word of psql's", "make the dump without --create"),
        ("PGDMP\x01", "an archive of pg_dump's, and no text", "command: pg_restore --no-owner --exit-on-error -d"),
        ("a\nb\0", "line 2: no text: it has a zero byte", "mend the file"),
    ],
)  # fmt: skip
def test_what_is_no_sql(tmp_path: Path, database: URL, text: str, said: str, remedy: str) -> None:
    """What psql or pg_restore alone can do is refused, with what to do instead."""
    message = fails(write(tmp_path, a=text), database, StepConfigError)
    assert said in message
    assert remedy in message


def test_encodings(tmp_path: Path, database: URL, server: Server) -> None:
    """A byte order mark, UTF-16 as Windows' shell writes it, and an encoding that the file names are understood."""
    text = "CREATE TABLE IF NOT EXISTS t (x text); INSERT INTO t VALUES ('grün');"
    tmp_path.joinpath("a.sql").write_bytes(text.encode("utf-8-sig"))
    tmp_path.joinpath("b.sql").write_bytes(text.encode("utf-16"))
    tmp_path.joinpath("c.sql").write_bytes(b"SET client_encoding = 'LATIN1';" + text.encode("latin-1"))
    SqlFiles(tmp_path).migrate(database)
    assert server.ask("SELECT DISTINCT x FROM t", database.database) == "grün"
    tmp_path.joinpath("d.sql").write_bytes(text.encode("latin-1"))
    assert "save the file as UTF-8, or begin it with SET client_encoding" in fails(SqlFiles(tmp_path), database)


def test_owners_that_the_server_has_not(tmp_path: Path, database: URL) -> None:
    """A dump with roles that are not there is told how it is made without them."""
    migrator = write(tmp_path, a="CREATE TABLE t ();\nALTER TABLE t OWNER TO nobody_here;\n")
    message = fails(migrator, database)
    assert "a.sql, line 2: role" in message
    assert "pg_dump --no-owner --no-privileges" in message


def test_an_extension_that_the_server_has_not(tmp_path: Path, database: URL) -> None:
    """An extension that is missing is told as one: another server may have it."""
    migrator = write(tmp_path, a="CREATE EXTENSION IF NOT EXISTS no_such_extension;")
    with pytest.raises(MissingExtensionError) as caught:
        migrator.migrate(database)
    assert caught.value.extension == "no_such_extension"
    assert caught.value.by == f"{tmp_path.name}/a.sql, line 1"


@pytest.mark.parametrize(("path", "said"), [("gone", "no such file or directory"), ("folder", "only ways down")])
def test_no_files(tmp_path: Path, database: URL, path: str, said: str) -> None:
    """A folder that is not there, or holds nothing to run, is an error that names it."""
    tmp_path.joinpath("folder").mkdir()
    tmp_path.joinpath("folder", "1.down.sql").write_text("DROP TABLE t")
    message = fails(SqlFiles(path, root=tmp_path), database, StepConfigError)
    assert said in message
    assert str(tmp_path / path) in message


def test_what_the_result_depends_on(tmp_path: Path) -> None:
    """The files that are run count, their content and their names, and no other file."""
    migrator = write(tmp_path, a="SELECT 1", b="SELECT 2")
    before = migrator.fingerprint()
    tmp_path.joinpath("a.down.sql").write_text("SELECT 3")
    tmp_path.joinpath("README.md").write_text("SELECT 3")
    assert migrator.fingerprint() == before
    write(tmp_path, a="SELECT 2", b="SELECT 1")
    assert migrator.fingerprint() != before
    found = SqlFiles(f"{tmp_path.name}/b*.sql", root=tmp_path.parent).files()
    assert [path.name for path in found] == ["b.sql"]
