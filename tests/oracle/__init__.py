"""An oracle that shares no code with the product: what pg_dump says after random tests must be what it said before."""
