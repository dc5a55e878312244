"""The texts of the files that a project gets. `$names` are filled in."""

from __future__ import annotations

from string import Template

CONFIGURATION = Template("""\
[pytest]
testpaths = $tests
$setting\
# Tests use TEST_DATABASE_URL when it is set. A default for everybody, used when it answers:
# pristine_url = postgresql://user:password@localhost:55432/app_test
""")

TEST = Template('''\
"""The first tests on a real Postgres: migrated before the first test, and put back after each."""

from pathlib import Path

import pytest
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import text

ALEMBIC_INI = Path(__file__).parents[$depth] / "$alembic"


def test_the_database_is_at_head(postgres_engine):
    """The migrations have been applied, all of them."""
    script = ScriptDirectory.from_config(Config(ALEMBIC_INI))
    with postgres_engine.connect() as connection:
        revisions = MigrationContext.configure(connection).get_current_heads()
    assert set(revisions) == set(script.get_heads())


@pytest.mark.parametrize("time", ["first", "second"])
def test_what_a_test_commits_is_undone(postgres_engine, clean_database, time):
    """Both times the database is as the migrations left it, although each time something is committed.

    A large object needs no table of yours: put an INSERT of your own in its place.
    """
    with postgres_engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM pg_largeobject_metadata")).scalar_one() == 0
        connection.execute(text("SELECT lo_create(0)"))
''')

GUIDE = Template("""\
# Tests on a real Postgres

Every test that needs a database runs on a real Postgres, with `pytest-pristine`. Never on SQLite: it has other types,
other locks and other constraints, and a test that passes there proves nothing about production.

## What you need

```bash
pip install $install pytest-pristine pytest-cov
```

That is all: without a server a private one is started, and stops by itself. To use your own, name it:

```bash
export TEST_DATABASE_URL=postgresql://user:password@localhost:5432/app_test
```

An empty database, or one that was made for this: its contents are replaced. One in a container is as good as any:

```bash
docker run --rm -p 55432:5432 \\
  -e POSTGRES_USER=app -e POSTGRES_PASSWORD=app -e POSTGRES_DB=app_test postgres:15-alpine
```

and `pristine up --port 55432 --user app --password app --db app_test` does the same without Docker. When something is
wrong, `pristine doctor` says what.

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
   as the migrations left it, whatever was committed. [`$first`]($link) has two to begin with.
2. Give your application that engine, or `postgres_url`; use the ORM or SQL as you like.
3. Make no other engine, and no SQLite.

## Before you push

- [ ] The header of the run names a PostgreSQL (`pristine: PostgreSQL ...`)
- [ ] It was run with coverage, branches included
- [ ] No warning that nothing was measured ("No data was collected")
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
          python-version: "3.12"
      - run: pip install $install pytest-pristine pytest-cov
      - run: $command
""")
