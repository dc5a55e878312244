"""What `pristine doctor` looks at: one module for each theme, and what makes a report of their findings."""
