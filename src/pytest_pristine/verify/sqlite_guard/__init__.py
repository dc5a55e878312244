"""The SQLite guard: a guarded test that opens SQLite fails with the place in the code.

`watch` is what the plugin calls, `child` what a process of Python that a test starts begins with. Nothing is imported
here: such a process imports this package when it starts.
"""
