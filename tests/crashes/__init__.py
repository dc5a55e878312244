"""Whether anything is lost or hangs when a process dies at any moment of a run: `python -m tests.crashes`.

In each trial a run of pytest, the victim, loses a process to a signal: itself, a worker of pytest-xdist, the keeper or
the postmaster. Another run beside it must not notice, the next must pass, and nothing may be left then. The moment is
drawn from the whole life of a run. Each trial has a machine of its own as far as that can be had without one: its own
processes, shared memory and temporary files, so that what is left in the end is what this trial left.
"""
