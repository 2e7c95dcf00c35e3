"""Headless Chromium for the tests that look at pages the way a person does."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, sync_playwright

EXECUTABLES = ("chromium", "chromium-browser", "google-chrome")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, EXECUTABLES)), None)
    if executable is None:
        pytest.skip(f"NOT TESTED in a browser: none of {', '.join(EXECUTABLES)} is installed")
    driver = [sys.executable, "-m", "playwright", "--version"]
    if subprocess.run(driver, capture_output=True, check=False).returncode:
        pytest.skip("NOT TESTED in a browser: Playwright's driver can't start (no libatomic1?)")
    with sync_playwright() as playwright:
        # Chromium refuses its sandbox to root, which is who runs tests in a container.
        chromium = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        yield chromium
        chromium.close()


@pytest.fixture(scope="session")
def screenshots(pytestconfig: pytest.Config) -> Path:
    folder = pytestconfig.rootpath / "artefacts" / "screenshots"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
