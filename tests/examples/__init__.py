"""The example projects, run."""
