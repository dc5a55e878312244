"""Makes the pages that tell what the code has, and helps MkDocs."""
