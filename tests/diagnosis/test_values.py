"""Settings with their origins, and what looks like one."""

from __future__ import annotations

from pytest_pristine import settings
from tests.conftest import Project
from tests.diagnosis.conftest import PASSWORD, doctor


def test_every_setting_with_its_origin(project: Project) -> None:
    """Every setting is told with its value and where that came from; a URL without its password."""
    project.write("pytest.ini", "[pytest]\npristine_exclude =\n    a\n    b\naddopts = --pristine-create-db\n")
    report = doctor(
        project, TEST_DATABASE_URL=f"postgresql://u:{PASSWORD}@localhost:1/d", PRISTINE_RESTORE_TIMEOUT="2.5"
    )
    found = {finding["subject"]: finding["found"] for finding in report.of("settings")}
    assert list(found) == [setting.ini for setting in settings.ALL]
    assert found["pristine_url"] == "postgresql://u:***@localhost:1/d  (TEST_DATABASE_URL)"
    assert found["pristine_exclude"] == "a b  (pristine_exclude in the ini file)"
    assert found["pristine_create_db"] == "true  (--pristine-create-db)"
    assert found["pristine_restore_timeout"] == "2.5 s  (PRISTINE_RESTORE_TIMEOUT)"
    assert found["pristine_claim"] == "not set  (default)"
    assert found["pristine_server"] == "auto  (default)"


def test_a_value_that_cannot_be_read(project: Project) -> None:
    """One bad value has failed, and keeps nobody from telling the others."""
    report = doctor(project, PRISTINE_LINGER="soon", PRISTINE_SERVER="embedded", PRISTINE_POSTGRES_VERSION="")
    finding = report.one("settings", "pristine_linger")
    assert (finding["level"], finding["sought"], finding["found"], finding["remedy"]) == (
        "failed", "a number of seconds for PRISTINE_LINGER", "'soon'",
        ["set PRISTINE_LINGER to a number of seconds, or unset it"],
    )  # fmt: skip
    assert report.one("settings", "pristine_server")["found"] == "embedded  (PRISTINE_SERVER)"
    assert report.one("sources", "a run uses")["found"] == "embedded"


def test_a_url_that_is_none(project: Project) -> None:
    """A text that cannot be read as a URL may hold a password, and is not shown."""
    report = doctor(project, TEST_DATABASE_URL=f"postgresql//u:{PASSWORD}@h/d")
    assert report.one("settings", "pristine_url")["found"] == (
        "no Postgres URL (not shown: it may hold a password)  (TEST_DATABASE_URL)"
    )
    assert report.one("sources", "url")["level"] == "failed"


def test_misspelt_names(project: Project) -> None:
    """Names that begin like ours and are none are warned of, with the nearest one that is."""
    project.write("pytest.ini", "[pytest]\npristine_servr = up\n")
    report = doctor(project, PRISTINE_URL="x", PRISTINE_RESTORE_TIME_OUT="1", PRISTINE_ZZZZ="1")
    assert report.tell("settings", "pristine_servr") == (
        "warning", "no setting of ours, in the ini file", ["did you mean pristine_server?"],
    )  # fmt: skip
    assert report.tell("settings", "PRISTINE_URL") == (
        "warning", "no setting of ours, in the environment", ["did you mean TEST_DATABASE_URL?"],
    )  # fmt: skip
    assert report.one("settings", "PRISTINE_RESTORE_TIME_OUT")["remedy"] == ["did you mean PRISTINE_RESTORE_TIMEOUT?"]
    (remedy,) = report.one("settings", "PRISTINE_ZZZZ")["remedy"]
    assert remedy.startswith("the settings are: TEST_DATABASE_URL, PRISTINE_SERVER, ")
    assert report.status == 0
