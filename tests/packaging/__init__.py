"""What leaves the repository: distributions and documents."""
