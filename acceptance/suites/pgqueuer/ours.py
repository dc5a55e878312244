# Appended by the acceptance tests: the database fixtures, with pytest-pristine. Everything else is theirs.
@pytest.fixture(scope="session")
def apply_migrations(postgres_server):
    """Their own command, as their users run it."""
    from pytest_pristine import Command

    install = Command("PGDSN={url} python -m pgqueuer install", inputs=["pgqueuer"])
    with postgres_server.migrated_database(install) as database:
        yield database


@pytest.fixture
def dsn(fresh_database):
    """A private clone for each test, instead of one that the test waits for."""
    return fresh_database.url.set(drivername="postgresql").render_as_string(hide_password=False)
