"""The drivers that SQLAlchemy has for Postgres, each on a real server."""
