"""Tests of what a run proves of itself."""
