"""A bank of accounts, over HTTP."""
