"""The checklist: what each item says when all is well, and what must turn it red."""
