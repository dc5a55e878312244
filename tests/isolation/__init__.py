"""Detecting what was written, and putting it back."""
