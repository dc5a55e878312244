"""How the lines of the log of our servers begin: who reads it must know."""

from __future__ import annotations

# The time, the process, and of a session also the SQLSTATE and the database.
PREFIX = "%m [%p] %q%e %d "
