"""Several workers, several runs, several machines."""
