# Appended by the acceptance tests: the database fixture, with pytest-pristine. Everything else is theirs.
@pytest.fixture(scope="session")
def apply_migrations(postgres_server):
    """Their own command line installs the schema."""
    from pytest_pristine import Command

    with postgres_server.migrated_database(Command("PGDSN={url} pgq install", inputs=["pyproject.toml"])) as database:
        yield database


@pytest.fixture
def dsn(clean_database, postgres_url):
    """One database, restored after each test, instead of a clone for each."""
    return postgres_url.set(drivername="postgresql").render_as_string(hide_password=False)
