"""Tests with a real container engine: Podman, which speaks Docker's API."""
