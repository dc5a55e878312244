"""Loading data: a function of the project's, told from others by all that decides what it loads."""
