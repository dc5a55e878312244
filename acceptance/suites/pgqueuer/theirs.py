# Appended by the acceptance tests: nothing. Their fixtures take the server that EXTERNAL_POSTGRES_DSN names.
