"""Where a Postgres comes from: sources, the resolver that chooses among them, and the servers that we start."""
