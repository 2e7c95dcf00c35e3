"""A student opens lab 01 in JupyterLab and uses it."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import nbformat
import psutil
import pytest
from playwright.sync_api import Browser, Locator, Page, expect

LAB = "01_compute_estimation/compute_estimation.ipynb"
HARDWARE_LAB = "02_hardware_comparison/hardware_comparison.ipynb"
START_SECONDS = 60
CELL_SECONDS = 60
STOP_SECONDS = 20


@pytest.fixture(scope="module")
def jupyterlab(
    tmp_path_factory: pytest.TempPathFactory, pytestconfig: pytest.Config
) -> Iterator[str]:
    """The address of a JupyterLab on a copy of labs/, with none of the user's own settings."""
    home = tmp_path_factory.mktemp("home")
    shutil.copytree(pytestconfig.rootpath / "labs", home / "labs")
    _refuse_news(home)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    arguments = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        "--IdentityProvider.token=",
    ]
    with (home / "server.log").open("w") as log:
        server = psutil.Popen(
            [sys.executable, "-m", "jupyterlab", *arguments, str(home / "labs")],
            env={**_environment_without_jupyter_settings(), "HOME": str(home)},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        _wait_for(server, address, home / "server.log")
        yield address
    finally:
        _stop(server)


def _refuse_news(home: Path) -> None:
    """Answer the question that JupyterLab would otherwise lay over the notebook."""
    folder = home / ".jupyter/lab/user-settings/@jupyterlab/apputils-extension"
    folder.mkdir(parents=True)
    (folder / "notification.jupyterlab-settings").write_text('{"fetchNews": "false"}')


def _environment_without_jupyter_settings() -> dict[str, str]:
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "IPYTHON"))
    }


def _wait_for(server: psutil.Popen, address: str, log: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while time.monotonic() < deadline and server.poll() is None:
        try:
            urllib.request.urlopen(f"{address}/api/status").close()
        except OSError:
            time.sleep(0.2)
        else:
            return
    pytest.fail(f"JupyterLab did not start:\n{log.read_text()}")


def _stop(server: psutil.Popen) -> None:
    """End the server and fail if it leaves a kernel behind."""
    family = [server, *server.children(recursive=True)]
    server.terminate()
    _, left = psutil.wait_procs(family, timeout=STOP_SECONDS)
    for process in left:
        process.kill()
    assert not left, f"JupyterLab left processes behind: {left}"


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    context = browser.new_context(viewport={"width": 1280, "height": 1000})
    yield context.new_page()
    context.close()


def _open(page: Page, address: str, lab: str) -> tuple[Locator, list[str]]:
    """Open a lab with its first cell chosen; return it, and the errors that the page will have."""
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.on("console", lambda line: errors.append(line.text) if line.type == "error" else None)
    page.goto(f"{address}/lab/tree/{lab}?reset")  # without the tabs of earlier visits
    expect(page.get_by_text("| Idle")).to_be_visible(timeout=START_SECONDS * 1000)
    notebook = page.locator(".jp-Notebook")
    notebook.locator(".jp-Cell").first.click()
    return notebook, errors


def _run_until(wanted: Locator, notebook: Locator, cells: int) -> None:
    """Press Shift+Enter, cell by cell, until what is wanted shows."""
    running = notebook.locator(".jp-InputPrompt", has_text="[*]")
    for _ in range(cells):
        notebook.page.keyboard.press("Shift+Enter")
        expect(running).to_have_count(0, timeout=CELL_SECONDS * 1000)
        if wanted.count():
            return
    expect(wanted).to_be_attached()


def test_a_student_runs_the_first_cells_and_moves_the_what_if_panel(
    page: Page, jupyterlab: str, screenshots: Path, pytestconfig: pytest.Config
) -> None:
    notebook, errors = _open(page, jupyterlab, LAB)
    cells = len(nbformat.read(pytestconfig.rootpath / "labs" / LAB, as_version=4).cells)

    preflight = notebook.locator(".jp-OutputArea table", has_text="Preflight")
    _run_until(preflight, notebook, cells)
    expect(preflight).to_be_visible()
    page.screenshot(path=screenshots / "lab_01_preflight.png")

    panel = notebook.locator(".widget-vbox", has=page.locator(".widget-slider"))
    _run_until(panel, notebook, cells)
    answer, chart = panel.locator(".widget-html-content"), panel.locator("img")
    answer_before, chart_before = answer.inner_text(), chart.get_attribute("src") or ""
    page.screenshot(path=screenshots / "lab_01_panel.png")
    panel.get_by_role("slider").first.press("ArrowRight")
    expect(answer).not_to_have_text(answer_before)
    expect(chart).not_to_have_attribute("src", chart_before)
    page.screenshot(path=screenshots / "lab_01_panel_moved.png")

    picture = notebook.locator(".jp-RenderedImage img").first
    _run_until(picture, notebook, cells)
    picture.scroll_into_view_if_needed()
    assert picture.evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=screenshots / "lab_01_picture.png")

    assert not errors


def test_a_student_sees_devices_and_rates_in_lab_02(
    page: Page, jupyterlab: str, screenshots: Path, pytestconfig: pytest.Config
) -> None:
    notebook, errors = _open(page, jupyterlab, HARDWARE_LAB)
    cells = len(nbformat.read(pytestconfig.rootpath / "labs" / HARDWARE_LAB, as_version=4).cells)

    devices = notebook.locator(".jp-OutputArea table", has_text="Apple GPU")
    _run_until(devices, notebook, cells)
    expect(devices).to_be_visible()
    picture = notebook.locator(".jp-RenderedImage img")
    _run_until(picture, notebook, cells)
    picture.first.scroll_into_view_if_needed()
    assert picture.first.evaluate("image => image.naturalWidth") > 0
    page.screenshot(path=screenshots / "lab_02_digits.png")

    assert not errors
