"""Users, groups and vocabularies through CKAN's own model."""

from __future__ import annotations

from types import ModuleType

import pytest
from sqlalchemy import Engine, text


@pytest.mark.parametrize("attempt", [1, 2])
def test_user_is_added(model: ModuleType, attempt: int) -> None:
    """A user of the same name can be added in every test."""
    model.Session.add(model.User(name="somebody", email="somebody@example.org"))
    model.Session.commit()
    assert model.Session.query(model.User).count() == 1


def test_group_is_added(model: ModuleType) -> None:
    """A group is added."""
    model.Session.add(model.Group(name="statistics", title="Statistics"))
    model.Session.commit()


def test_setting_is_kept(model: ModuleType) -> None:
    """A setting is written and deleted: what is left is a sequence that moved on, and one more setting."""
    model.set_system_info("ckan.site_title", "acceptance")
    model.set_system_info("ckan.site_about", "kept")
    assert model.get_system_info("ckan.site_title") == "acceptance"
    model.delete_system_info("ckan.site_title")


def test_version_row_is_changed(model: ModuleType, postgres_engine: Engine) -> None:
    """The row by which Alembic knows the revision is changed, without CKAN."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("UPDATE alembic_version SET version_num = 'elsewhere'")).rowcount == 1
