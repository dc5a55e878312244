"""The report: the page in a real browser, the JSON file, what CI services are told."""
