"""The documents. What is Python here makes some of them, and is no part of the site."""
