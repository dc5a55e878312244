"""All that is said to Postgres about databases, roles and locks. It knows nothing of tests or of migrations."""
