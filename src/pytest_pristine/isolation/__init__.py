"""What keeps tests apart: what was written is found, and put back."""
