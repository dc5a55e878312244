"""Where a server comes from, and what becomes of it."""
