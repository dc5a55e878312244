"""The documents: what they show is run, what is made of the code is up to date, the site is whole."""
