"""The workflow application: runs of steps, executed by any number of workers."""
