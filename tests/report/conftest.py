"""A Chromium without a window, and pages of the report opened in it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, sync_playwright

from pytest_pristine.report import writing
from pytest_pristine.report.document import Document
from tests.conftest import wait_until

NAMES = ("chromium", "chromium-browser", "google-chrome")
MISSING = "no Chromium in PATH, and the report is looked at in a real one: apt install chromium (on Debian, as root)"


@dataclass
class Opened:
    """A page of the report.

    Attributes:
        page: It, in the browser.
        requests: What the browser fetched for it.
        said: What went to the console, and errors of scripts.
    """

    page: Page
    requests: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    def find(self, selector: str) -> Any:  # noqa: ANN401 - Playwright's
        """What a selector finds."""
        return self.page.locator(selector)

    def texts(self, selector: str) -> list[str]:
        """The texts of all that a selector finds."""
        return [" ".join(text.split()) for text in self.page.locator(selector).all_inner_texts()]

    def wait(self, expression: str) -> None:
        """Wait until an expression is true. Playwright's own waiting breaks the page's policy."""
        wait_until(lambda: self.page.evaluate(expression), expression)

    def focused(self) -> str:
        """The text of what has the focus."""
        return str(self.page.evaluate("document.activeElement.textContent"))


# Not for the session: Playwright holds an event loop that would be in the way of other tests'.
@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """A Chromium. A machine without one fails, since what it cannot look at may be broken."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.fail(MISSING, pytrace=False)
    with sync_playwright() as playwright:
        # Root cannot have a sandbox; /dev/shm is small in a container.
        arguments = ["--no-sandbox", "--disable-dev-shm-usage"]
        chromium = playwright.chromium.launch(executable_path=program, args=arguments)
        yield chromium
        chromium.close()


@pytest.fixture
def look(browser: Browser, tmp_path: Path) -> Iterator[Callable[..., Opened]]:
    """Write a document, and open its page from the disk; further arguments go to the browser's context."""
    contexts = []

    def open_page(document: Document, **options: Any) -> Opened:  # noqa: ANN401 - Playwright's
        context = browser.new_context(**{"viewport": {"width": 1280, "height": 900}, **options})
        contexts.append(context)
        opened = Opened(context.new_page())
        opened.page.on("request", lambda request: opened.requests.append(request.url))
        opened.page.on("console", lambda message: opened.said.append(message.text))
        opened.page.on("pageerror", lambda error: opened.said.append(str(error)))
        opened.page.goto(writing.write(document, tmp_path / f"report{len(contexts)}").as_uri())
        return opened

    yield open_page
    for context in contexts:
        context.close()
