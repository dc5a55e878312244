"""Templates, clones, and databases that the user named."""
