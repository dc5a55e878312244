"""Tests of what may stand between us and a server that the user named."""
