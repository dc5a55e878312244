"""Random schemas, with the rows that migrations leave in them."""

from __future__ import annotations

from tests.conftest import AVAILABLE
from tests.oracle import columns
from tests.oracle.columns import column
from tests.oracle.dice import Dice
from tests.oracle.model import Column, Model, Table, quote
from tests.oracle.places import OTHER

_STEMS = (
    "t", "t", "t", "t", "select", "50 %", "%(name)s", "%s", 'q"uo', "do.t", "Ünï", "{b}", "a'p", "back\\slash", "$1",
    "a_name_of_sixty_three_bytes_which_is_all_that_postgres_keeps",
)  # fmt: skip
_ROWS = (0, 0, 0, 0, 1, 2, 3, 7, 30, 300)
_MANY = 5000
_ACTIONS = ("", "", " ON DELETE CASCADE", " ON UPDATE CASCADE", " ON DELETE SET NULL", " ON DELETE RESTRICT",
            " ON DELETE SET DEFAULT", " ON UPDATE CASCADE ON DELETE CASCADE")  # fmt: skip
_DEFERRALS = ("", "", "", " DEFERRABLE", " DEFERRABLE INITIALLY DEFERRED")

_AUDIT = (
    "CREATE TABLE audit (id bigserial PRIMARY KEY, what text)",
    """CREATE FUNCTION note() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
        INSERT INTO public.audit (what) VALUES (TG_TABLE_NAME || ' ' || TG_NAME || ' ' || TG_OP);
        RETURN coalesce(NEW, OLD); END $$""",
    """CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS
        $$ BEGIN IF random() < 2 THEN RAISE 'never'; END IF; RETURN NULL; END $$""",
    "CREATE FUNCTION swallow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$",
)
_AUDIT_TABLE = Table("public.audit", (Column("what", "text", "'by hand ' || {g}"),))
_EXTENSIONS = sorted({"hstore", "citext", "pg_trgm", "btree_gist", "intarray", "vector"} & AVAILABLE)


def schema(dice: Dice) -> Model:
    """A schema."""
    model = Model()
    if dice.chance(3):
        model.ddl.append("CREATE SCHEMA other")
        model.schemas.append("other")
    if dice.chance(4):
        model.ddl.append('CREATE SCHEMA "O%d .""s"')
        model.schemas.append('"O%d .""s"')
    if dice.chance(4):
        extension = dice.pick(_EXTENSIONS)
        model.ddl.append(f"CREATE EXTENSION {extension}")
        model.extensions.append(extension)
    if dice.chance(6):
        model.ddl.append(f"ALTER DEFAULT PRIVILEGES GRANT SELECT ON TABLES TO {OTHER}")
    model.ddl += columns.TYPES
    model.types.append("mood")
    model.ddl += _AUDIT
    model.functions += ["note()", "refuse()", "swallow()"]
    model.tables.append(_AUDIT_TABLE)
    model.sequences.append("public.audit_id_seq")
    for number in range(dice.number(1, 6)):
        _table(dice, model, number)
    _cycle(dice, model)
    _sequences(dice, model)
    _views(dice, model)
    _decorations(dice, model)
    _large_objects(dice, model)
    return model


def name(dice: Dice, model: Model, number: int) -> str:
    """A qualified name, quoted, that nothing else has."""
    return f"{dice.pick(model.schemas)}.{quote(f'{dice.pick(_STEMS)}{number}')}"


def _table(dice: Dice, model: Model, number: int) -> None:
    builders = (_plain, _plain, _plain, _plain, _list_partitioned, _range_partitioned, _parent, _exclusive, _bare)
    made = dice.pick(builders)(dice, model, name(dice, model, number))
    model.tables.append(made)
    rows = _MANY if dice.chance(40) else dice.pick(_ROWS)
    if rows:
        model.ddl.append(made.insert(0, rows))
        if dice.chance(5):
            model.ddl.append(f"DELETE FROM {made.name} WHERE ctid IN (SELECT min(ctid) FROM {made.name})")
        if dice.chance(10):
            model.ddl.append(made.insert(10000, 2))


def _create(model: Model, table: Table, *further: str, unlogged: bool = False, ending: str = "") -> None:
    defined = ", ".join([*(f"{column.name} {column.type}" for column in table.columns), *filter(None, further)])
    model.ddl.append(f"CREATE {'UNLOGGED ' if unlogged else ''}TABLE {table.name} ({defined}){ending}")


def _key(dice: Dice, model: Model, table: str) -> tuple[tuple[Column, ...], tuple[tuple[str, str], ...], str]:
    """Key columns, what others refer to, and the clause of the primary key."""
    schema_, _, stem = table.partition(".") if not table.startswith('"') else table.partition('".')
    kind = dice.number(0, 8)
    name_ = dice.pick(["id", quote("i d"), quote("Key%")])
    sequence = f"pg_get_serial_sequence({_literal(table)}, {_literal(name_.strip(chr(34)))})"
    del schema_, stem
    clause = f"PRIMARY KEY ({name_})"
    if kind <= 2:
        model.sequences.append(sequence)
        column_type = ("serial", "bigserial", "smallserial")[kind]
        refer = ("int", "bigint", "smallint")[kind]
        return (Column(name_, column_type, None),), ((name_, refer),), clause
    if kind <= 4:
        model.sequences.append(sequence)
        options = dice.pick(["", "", " (START 100 INCREMENT 5)", " (CACHE 10)", " (START -1 INCREMENT -1 MAXVALUE 5)"])
        when = "ALWAYS" if kind == 3 else "BY DEFAULT"
        return (Column(name_, f"int GENERATED {when} AS IDENTITY{options}", None),), ((name_, "int"),), clause
    if kind == 5:
        return (Column(name_, "uuid", "md5('k' || {g})::uuid", changeable=False),), ((name_, "uuid"),), clause
    if kind == 6:
        return (Column(name_, "int", "{g}"),), ((name_, "int"),), clause
    if kind == 7:
        both = (Column(name_, "int", "{g}"), Column("k", "int", "({g}) % 3"))
        return both, ((name_, "int"), ("k", "int")), f"PRIMARY KEY ({name_}, k)"
    return (), (), ""


def _literal(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _references(
    dice: Dice, model: Model, own: tuple[tuple[str, str], ...], table: str
) -> tuple[list[Column], list[str]]:
    """Columns that refer to other tables, or to the table itself, and their foreign keys."""
    targets = [(each.name, each.key) for each in model.tables if each.key]
    if own and dice.chance(5):
        targets = [(table, own)]
    found: list[Column] = []
    clauses: list[str] = []
    for number, (target, key) in enumerate(dice.some(targets, 2)):
        names = []
        for part, (column_name, kind) in enumerate(key):
            every = "" if dice.chance(2) else "NULLIF(({g}) % 4, 0) * 0 + "
            order = ", ".join(name for name, _ in key)
            offset = f"{every}({{g}}) % 3"
            del every, offset
            source = f"(SELECT {column_name} FROM {target} ORDER BY {order} OFFSET ({{g}}) % 3 LIMIT 1)"
            names.append(quote(f"ref{number}_{part}"))
            found.append(Column(names[-1], kind, source))
        columns_ = ", ".join(name for name, _ in key)
        clauses.append(
            f"FOREIGN KEY ({', '.join(names)}) REFERENCES {target} ({columns_})"
            f"{dice.pick(_ACTIONS)}{dice.pick(_DEFERRALS)}"
        )
    return found, clauses


def _data(dice: Dice) -> list[Column]:
    return [column(dice, number) for number in range(dice.number(1, 4))]


def _plain(dice: Dice, model: Model, table: str) -> Table:
    key, refer, clause = _key(dice, model, table)
    references, clauses = _references(dice, model, refer, table)
    further = [clause, *clauses]
    made = [*key, *_data(dice), *references]
    if dice.chance(6):
        made.append(Column("gone", "int", None))
    if dice.chance(4):
        made.append(Column("net", "int", "({g}) % 70"))
        made.append(Column("gross", "int GENERATED ALWAYS AS (net * 2 + 1) STORED", None))
    if dice.chance(6):
        made.append(Column("once", "int", "{g}"))
        further.append("UNIQUE (once) DEFERRABLE INITIALLY DEFERRED")
    result = Table(table, tuple(made), refer)
    _create(model, result, *further, unlogged=not clauses and dice.chance(6))
    if made[-1].name == "gone":
        model.ddl.append(f"ALTER TABLE {table} DROP COLUMN gone")
    return Table(table, tuple(each for each in made if each.name != "gone"), refer)


def _list_partitioned(dice: Dice, model: Model, table: str) -> Table:
    columns_ = (Column("id", "int", "{g}"), Column("k", "int", "({g}) % 5", changeable=True), *_data(dice))
    result = Table(table, columns_, (("id", "int"), ("k", "int")), (f'{table[:-1]}_0"', f'{table[:-1]}_2"'))
    _create(model, result, "PRIMARY KEY (id, k)", ending=" PARTITION BY LIST (k)")
    stem = table[:-1]
    model.ddl += [
        f'CREATE TABLE {stem}_0" PARTITION OF {table} FOR VALUES IN (0, 1)',
        f'CREATE TABLE {stem}_2" PARTITION OF {table} FOR VALUES IN (2) PARTITION BY RANGE (id)',
        f'CREATE TABLE {stem}_2_a" PARTITION OF {stem}_2" FOR VALUES FROM (MINVALUE) TO (100)',
        f'CREATE TABLE {stem}_2_b" PARTITION OF {stem}_2" DEFAULT',
        f'CREATE TABLE {stem}_x" PARTITION OF {table} DEFAULT',
    ]
    return result


def _range_partitioned(dice: Dice, model: Model, table: str) -> Table:
    references, clauses = _references(dice, model, (), table)
    columns_ = (Column("id", "bigserial", None), Column("k", "int", "{g}"), *_data(dice), *references)
    result = Table(table, columns_, (("id", "bigint"), ("k", "int")), (f'{table[:-1]}_0"', f'{table[:-1]}_x"'))
    _create(model, result, "PRIMARY KEY (id, k)", *clauses, ending=" PARTITION BY RANGE (k)")
    model.sequences.append(f"pg_get_serial_sequence({_literal(table)}, 'id')")
    stem = table[:-1]
    model.ddl += [
        f'CREATE TABLE {stem}_0" PARTITION OF {table} FOR VALUES FROM (MINVALUE) TO (3)',
        f'CREATE TABLE {stem}_1" PARTITION OF {table} FOR VALUES FROM (3) TO (1000)',
        f'CREATE TABLE {stem}_x" PARTITION OF {table} DEFAULT',
    ]
    return result


def _parent(dice: Dice, model: Model, table: str) -> Table:
    result = Table(table, (Column("id", "int", "{g}"), *_data(dice)), (), (f'{table[:-1]}_heir"',))
    _create(model, result)
    heir = f'{table[:-1]}_heir"'
    model.ddl.append(f"CREATE TABLE {heir} (more text) INHERITS ({table})")
    if dice.chance(2):
        model.ddl.append(f"INSERT INTO {heir} (id, more) SELECT g, 'm' || g FROM generate_series(1, 4) g")
    model.tables.append(Table(heir, (Column("id", "int", "{g}"), Column("more", "text", "'m' || {g}"))))
    return result


def _exclusive(dice: Dice, model: Model, table: str) -> Table:
    result = Table(table, (Column("r", "int4range", "int4range(({g})::int * 2, ({g})::int * 2 + 2)"), *_data(dice)))
    _create(model, result, f"EXCLUDE USING gist (r WITH &&){dice.pick(_DEFERRALS)}")
    return result


def _bare(dice: Dice, model: Model, table: str) -> Table:
    """Without a key, with duplicates."""
    result = Table(table, (Column("a", "int", "({g}) % 2"), Column("b", "text", "'same'")))
    _create(model, result, unlogged=dice.chance(3))
    return result


def _cycle(dice: Dice, model: Model) -> None:
    """Two tables that refer to each other, at times with rows that form a circle."""
    if not dice.chance(4):
        return
    hen = Table("public.hen", (Column("id", "int", "{g}"), Column("egg", "int", "NULL")), (("id", "int"),))
    egg = Table(
        "public.egg", (Column("id", "int", "{g}"), Column("hen", "int", "(SELECT min(id) FROM public.hen)")),
        (("id", "int"),),
    )  # fmt: skip
    _create(model, hen, "PRIMARY KEY (id)")
    _create(model, egg, "PRIMARY KEY (id)", f"FOREIGN KEY (hen) REFERENCES public.hen{dice.pick(_DEFERRALS)}")
    deferral = dice.pick(_DEFERRALS)
    model.ddl.append(f"ALTER TABLE public.hen ADD FOREIGN KEY (egg) REFERENCES public.egg{deferral}")
    model.tables += [hen, egg]
    if dice.chance(2):
        model.ddl += [hen.insert(0, 3), egg.insert(0, 3)]
        if dice.chance(2):
            model.ddl.append("UPDATE public.hen SET egg = id")


def _sequences(dice: Dice, model: Model) -> None:
    options = (
        "", " START 7", " CACHE 10", " INCREMENT -3 START 1000 MAXVALUE 1000 MINVALUE 1 CYCLE CACHE 5",
        " AS bigint START 9223372036854775000", " MINVALUE 1 MAXVALUE 3 CYCLE", " INCREMENT 1000",
    )  # fmt: skip
    for number in range(dice.number(0, 2)):
        sequence = f"{dice.pick(model.schemas)}.{quote(dice.pick(_STEMS) + f's{number}')}"
        unlogged = "UNLOGGED " if dice.chance(4) else ""
        model.ddl.append(f"CREATE {unlogged}SEQUENCE {sequence}{dice.pick(options)}")
        model.sequences.append(_literal(sequence))
        action = dice.pick(["", "", f"SELECT nextval({_literal(sequence)})", f"SELECT setval({_literal(sequence)}, 2)",
                            f"SELECT setval({_literal(sequence)}, 3, false)"])  # fmt: skip
        if action:
            model.ddl.append(action)
    model.sequences[:] = [each if "(" in each or each.startswith("'") else _literal(each) for each in model.sequences]


def _views(dice: Dice, model: Model) -> None:
    for number in range(dice.number(0, 2) if dice.chance(2) else 0):
        view = f"{dice.pick(model.schemas)}.{quote(dice.pick(_STEMS) + f'm{number}')}"
        if model.views and dice.chance(2):
            query = f"SELECT count(*) AS n FROM {dice.pick(model.views)}"
        else:
            query = dice.pick(["SELECT count(*) AS n, max(v::text) AS most FROM {} v", "SELECT v::text AS n FROM {} v"])
            query = query.replace("{}", dice.pick(model.tables).name)
        if dice.chance(4):
            between = f"{dice.pick(model.schemas)}.{quote(f'between{number}')}"
            model.ddl.append(f"CREATE VIEW {between} AS {query}")
            model.plain_views.append(between)
            query = f"SELECT * FROM {between}"
        empty = " WITH NO DATA" if dice.chance(5) else ""
        model.ddl.append(f"CREATE MATERIALIZED VIEW {view} AS {query}{empty}")
        model.views.append(view)
        if dice.chance(2):
            model.ddl.append(f"CREATE UNIQUE INDEX ON {view} (n)")
    if model.views and dice.chance(3):
        # What they hold is not what they would hold if refreshed.
        model.ddl.append(dice.pick(model.tables).insert(20000, 1))
        model.stale |= set(model.views)


def _decorations(dice: Dice, model: Model) -> None:
    for number in range(dice.number(0, 4)):
        # What writes to audit must not stand on it: it would never end.
        chosen = dice.pick(model.tables[1:])
        table, first = chosen.name, chosen.columns[0].name
        role = OTHER
        model.ddl += dice.pick([_trigger, _trigger, _rule, _security, _index])(dice, model, table, number)
        if dice.chance(3):
            model.ddl.append(dice.pick([
                f"COMMENT ON TABLE {table} IS 'a ''comment'' of % {number}'",
                f"GRANT SELECT, INSERT ON {table} TO {role}",
                f"GRANT USAGE ON SCHEMA public TO {role}",
                f"ALTER TABLE {table} REPLICA IDENTITY FULL",
                f"CREATE STATISTICS st{number} ON (length({first}::text)) FROM {table}",
                f"CREATE VIEW plain{number} AS SELECT * FROM {table}",
                "COMMENT ON DATABASE {database} IS 'a database'",
                "ALTER DATABASE {database} SET work_mem = '5MB'",
                "ALTER ROLE CURRENT_USER IN DATABASE {database} SET statement_timeout = '19s'",
                f"GRANT CONNECT ON DATABASE {{database}} TO {role}",
                "ALTER DATABASE {database} SET search_path = public, pg_catalog",
            ]))  # fmt: skip


def _trigger(dice: Dice, model: Model, table: str, number: int) -> list[str]:
    name_ = quote(f"g%{number}")
    function = dice.pick(["note", "note", "note", "note", "refuse", "swallow"])
    when = dice.pick([
        "BEFORE INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW", "AFTER INSERT OR UPDATE OR DELETE ON {} FOR EACH ROW",
        "AFTER INSERT OR UPDATE OR DELETE OR TRUNCATE ON {}", "BEFORE TRUNCATE ON {}",
        "BEFORE DELETE ON {} FOR EACH ROW",
    ])  # fmt: skip
    found = [f"CREATE TRIGGER {name_} {when.replace('{}', table)} EXECUTE FUNCTION {function}()"]
    state = dice.pick(["", "", "ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE"])
    if state:
        found.append(f"ALTER TABLE {table} {state} TRIGGER {name_}")
    model.triggers.append((table, name_))
    return found


def _rule(dice: Dice, model: Model, table: str, number: int) -> list[str]:
    del model
    action = dice.pick([
        "ON DELETE TO {} DO INSTEAD NOTHING", "ON UPDATE TO {} DO INSTEAD NOTHING",
        "ON INSERT TO {} DO INSTEAD NOTHING",
        "ON INSERT TO {} DO ALSO INSERT INTO public.audit (what) VALUES ('ruled')",
        "ON DELETE TO {} DO ALSO INSERT INTO public.audit (what) VALUES ('ruled')",
    ])  # fmt: skip
    found = [f"CREATE RULE r{number} AS {action.replace('{}', table)}"]
    state = dice.pick(["", "", "ENABLE ALWAYS", "ENABLE REPLICA", "DISABLE"])
    return [*found, f"ALTER TABLE {table} {state} RULE r{number}"] if state else found


def _security(dice: Dice, model: Model, table: str, number: int) -> list[str]:
    del model
    found = [f"ALTER TABLE {table} ENABLE ROW LEVEL SECURITY"]
    if dice.chance(2):
        found.append(f"ALTER TABLE {table} FORCE ROW LEVEL SECURITY")
    if dice.chance(2):
        found.append(f"CREATE POLICY p{number} ON {table} USING ({dice.pick(['true', 'false', 'random() < 0.5'])})")
    return found


def _index(dice: Dice, model: Model, table: str, number: int) -> list[str]:
    del dice
    model.indexes.append(f"i{number}")
    return [f"CREATE INDEX i{number} ON {table} ((1))"]


def _large_objects(dice: Dice, model: Model) -> None:
    if dice.chance(5):
        model.ddl += ["SELECT lo_from_bytea(4242, 'kept')", "SELECT lo_from_bytea(4243, repeat('x', 9000)::bytea)"]
        model.large_objects += [4242, 4243]
        if dice.chance(2):
            model.ddl.append("COMMENT ON LARGE OBJECT 4242 IS 'an object'")
