"""Setting a project up: what is found, what is written, and that it runs."""
