"""Schema coverage: which objects of the schema the tests touched, and which they did not."""
