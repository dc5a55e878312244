"""Migrated databases: built once as sealed templates, copied for every worker."""
