"""Setting a project up: what there is, which files it lacks, and writing them."""
