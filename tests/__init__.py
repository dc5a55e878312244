"""The tests of pytest-pristine. Every Postgres in them is a real one."""
