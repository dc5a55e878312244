"""Tests of what parts of the product do together: layers, copies, sessions, loops, workers."""
