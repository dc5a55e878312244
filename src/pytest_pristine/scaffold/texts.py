"""The texts of the files that a project gets. `$names` are filled in."""

from __future__ import annotations

from string import Template

CONFIGURATION = Template("""\
[pytest]
$settings\
# Tests use TEST_DATABASE_URL when it is set. A default for everybody, used when it answers:
# pristine_url = postgresql://user:password@localhost:55432/app_test
""")

# It knows nothing of the project: it must pass in every one, whatever its migrations make and wherever they lie.
TEST = '''\
"""The first tests on a real Postgres: migrated before the first test, and put back after each."""

import pytest
from sqlalchemy import inspect, text


def test_the_migrations_were_applied(postgres_engine):
    """The tables that the migrations make are there: name those of yours."""
    inspector = inspect(postgres_engine)
    schemas = [name for name in inspector.get_schema_names() if name != "information_schema"]
    tables = [table for schema in schemas for table in inspector.get_table_names(schema)]
    assert tables


@pytest.mark.parametrize("time", ["first", "second"])
def test_what_a_test_commits_is_undone(postgres_engine, clean_database, time):
    """Both times the database is as the migrations left it, although each time something is committed.

    A large object needs no table of yours: put an INSERT of your own in its place.
    """
    with postgres_engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_largeobject_metadata")).scalar_one() == 0
        connection.execute(text("SELECT lo_create(0)"))
'''

GUIDE = Template("""\
# Tests on a real Postgres

Every test that needs a database runs on a real Postgres, with `pytest-pristine`. Never on SQLite: it has other types,
other locks and other constraints, and a test that passes there proves nothing about production.

## What you need

```bash
$install
```

That is all: without a server a private one is started, and stops by itself. When something is wrong, `pristine doctor`
says what. To use a server of your own, one in a container for example, name an empty database on it:

```bash
docker run --rm -d -p 55432:5432 \\
  -e POSTGRES_USER=app -e POSTGRES_PASSWORD=app -e POSTGRES_DB=app_test postgres:15-alpine
export TEST_DATABASE_URL=postgresql://app:app@localhost:55432/app_test
```

`pristine up --port 55432 --user app --password app --db app_test` starts the same without Docker, and `pristine down`
ends it. A database that is neither empty nor made for tests is refused, and not touched.

## Running the tests

```bash
$command
```

The migrations of `$alembic` are applied once, and kept as a template until they change.

## Adding a test

```python
from sqlalchemy import text


def test_something(postgres_engine, clean_database):
    with postgres_engine.begin() as connection:
        connection.execute(text("..."))
```

1. Ask for `postgres_engine`, the one engine all tests share, and for `clean_database`: after the test the database is
   as the migrations left it, whatever was committed. To begin with there are two in
   [`$first`]($link).
2. Give your application that engine, or `postgres_url`; use the ORM or SQL as you like.
3. Make no other engine, and no SQLite.

## Before you push

- [ ] The header of the run names a PostgreSQL (`pristine: PostgreSQL ...`)
- [ ] It was run with coverage, branches included
- [ ] No warning that nothing was measured ("No data was collected": no test uses the project's code yet)
- [ ] No `SchemaChangedWarning` or `LeftoverWarning`: a test that changes the schema or leaves a session behind is named

## Questions

**A table must not be touched.** `pristine_exclude` in pytest's configuration names it; `pristine_include` lists those
to be put back instead.

**The migrations need something special.** Override the fixture `apply_migrations` in `conftest.py`.

**It does not work.** `pristine doctor`. Do not fall back to SQLite.
""")

WORKFLOW = Template("""\
name: tests
on: [push, pull_request]
jobs:
  tests:
    runs-on: ubuntu-latest
    steps:
      - uses: actions/checkout@v4
      - uses: actions/setup-python@v5
        with:
          python-version: "$python"
      - run: $install_step
      - run: $command_step
""")
