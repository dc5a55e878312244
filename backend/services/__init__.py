"""The application's services; each is usable without HTTP."""
