"""Tests that need a real Postgres, which is all of them."""
