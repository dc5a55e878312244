"""The plugin as its users run it: pytest in a process of its own, on a small project."""
