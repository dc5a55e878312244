"""The pytest plugin. This module is imported by every run of pytest: nothing heavy may be imported here."""

from pytest_pristine.plugin.distribution import (
    pytest_configure_node,
    pytest_itemcollected,
    pytest_testnodedown,
    pytest_xdist_node_collection_finished,
    pytest_xdist_setupnodes,
)
from pytest_pristine.plugin.exporting import pytest_load_initial_conftests
from pytest_pristine.plugin.fixtures import (
    _pristine_async_engine,
    _pristine_isolation,
    apply_migrations,
    clean_database,
    fresh_database,
    postgres_async_engine,
    postgres_async_session,
    postgres_baseline,
    postgres_dsn,
    postgres_engine,
    postgres_server,
    postgres_session,
    postgres_url,
)
from pytest_pristine.plugin.hooks import (
    pytest_addoption,
    pytest_collection_finish,
    pytest_configure,
    pytest_report_collectionfinish,
    pytest_runtest_makereport,
    pytest_unconfigure,
)
from pytest_pristine.plugin.layering import pytest_fixture_setup
from pytest_pristine.plugin.proving import pytest_runtest_call, pytest_runtest_setup, pytest_sessionfinish

__all__ = [
    "_pristine_async_engine",
    "_pristine_isolation",
    "apply_migrations",
    "clean_database",
    "fresh_database",
    "postgres_async_engine",
    "postgres_async_session",
    "postgres_baseline",
    "postgres_dsn",
    "postgres_engine",
    "postgres_server",
    "postgres_session",
    "postgres_url",
    "pytest_addoption",
    "pytest_collection_finish",
    "pytest_configure",
    "pytest_configure_node",
    "pytest_fixture_setup",
    "pytest_itemcollected",
    "pytest_load_initial_conftests",
    "pytest_report_collectionfinish",
    "pytest_runtest_call",
    "pytest_runtest_makereport",
    "pytest_runtest_setup",
    "pytest_sessionfinish",
    "pytest_testnodedown",
    "pytest_unconfigure",
    "pytest_xdist_node_collection_finished",
    "pytest_xdist_setupnodes",
]
