# Appended by the acceptance tests: nothing. Their own EXTERNAL_POSTGRES_DSN names the server: there is no Docker engine.
