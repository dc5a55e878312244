# Appended by the acceptance tests: there is no Docker engine here. Everything else is theirs.
@pytest.fixture(scope="session")
def postgres_container():
    """A server that was started beforehand, with the settings that matter of theirs."""
    import os

    return os.environ["SUITE_DATABASE_URL"].replace("postgresql://", "postgresql+asyncpg://")
