"""What a run proves of itself: the checklist, and the evidence for each of its items."""
