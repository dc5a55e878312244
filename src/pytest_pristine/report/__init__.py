"""What a run recorded, shown: in the terminal, as a page, as JSON, to a CI service."""
