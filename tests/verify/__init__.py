"""What a run proves of itself."""
