"""Finding, running and fingerprinting Alembic migrations."""
