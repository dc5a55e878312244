"""Bringing a database to head, and telling what the result depends on."""
