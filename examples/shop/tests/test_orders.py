"""Two tests that would fail if either saw what the other wrote, in whatever order they run."""

import pytest
from conftest import PRICES
from sqlalchemy import Engine, text


@pytest.mark.parametrize("attempt", ["first", "second"])
def test_an_order_is_alone(postgres_engine: Engine, attempt: str) -> None:
    """Each test sees the countries, no order and an empty cache, and may change them all."""
    with postgres_engine.begin() as connection:
        assert connection.execute(text("SELECT count(*) FROM countries")).scalar_one() == 2
        assert connection.execute(text("INSERT INTO orders (country) VALUES ('de') RETURNING id")).scalar_one() == 1
        connection.execute(text("UPDATE countries SET code = 'nl' WHERE code = 'fr'"))
        connection.execute(text("INSERT INTO audit_log VALUES (:what)"), {"what": f"{attempt} ordered"})
    assert not PRICES
    PRICES["apple"] = 1


@pytest.mark.parametrize("attempt", ["first", "second"])
def test_the_log_is_kept(postgres_engine: Engine, attempt: str) -> None:
    """What an earlier test logged is there still."""
    with postgres_engine.begin() as connection:
        connection.execute(text("INSERT INTO audit_log VALUES ('asked')"))
        asked = connection.execute(text("SELECT count(*) FROM audit_log WHERE what = 'asked'")).scalar_one()
    assert asked in (1, 2)
