"""A real JupyterLab in a headless Chromium, for the tests that look at pixels."""

import contextlib
import json
import os
import shutil
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import psutil
import pytest

HERE = Path(__file__).resolve().parent
PATIENCE_S = 300
"""How long anything may take: tests share their cores, and software draws slowly."""

_FRAME = ("layout", "tabbable", "tooltip", "comm", "_dom_classes", "_esm", "_css", "_anywidget_id")
_FLAGS = [
    "--no-sandbox",
    "--use-angle=swiftshader",
    "--enable-unsafe-swiftshader",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def chromium_path():
    """Chromium on this machine, or a skip that says why."""
    pytest.importorskip("playwright", reason="playwright is not installed (pip install playwright)")
    if chosen := os.environ.get("V2M_CHROMIUM"):
        return chosen
    names = ("chromium", "chromium-browser", "google-chrome")
    if found := next(filter(None, map(shutil.which, names)), None):
        return found
    # What `playwright install chromium` fetched, whose folder has the version in its name.
    folder = os.environ.get("PLAYWRIGHT_BROWSERS_PATH") or Path.home() / ".cache/ms-playwright"
    fetched = sorted(Path(folder).glob("chromium-*/chrome-linux*/chrome"))
    if fetched:
        return str(fetched[-1])
    pytest.skip(
        "no Chromium here: install the system's chromium package, run `playwright install "
        "chromium`, or set V2M_CHROMIUM"
    )


@contextlib.contextmanager
def browser_page(size=(1280, 1000)):
    """A page of a headless browser with software WebGL; `page.complaints` gathers errors."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=_FLAGS)
        try:
            page = browser.new_page(viewport={"width": size[0], "height": size[1]})
            page.set_default_timeout(PATIENCE_S * 1000)
            page.complaints = []
            page.on(
                "console",
                lambda message: message.type == "error" and page.complaints.append(message.text),
            )
            page.on("pageerror", lambda error: page.complaints.append(str(error)))
            yield page
        finally:
            browser.close()


def widget_state(widget):
    """What a widget tells the browser, without its code and layout."""
    own = [name for name in widget.keys if name not in _FRAME and not name.startswith("_view")]
    return {name: getattr(widget, name) for name in own if not name.startswith("_model")}


def show_widgets(page, widgets, entry, *, background="#ffffff"):
    """Show widgets on a plain page; `models[k]` there stands in for the kernel of the k-th."""
    from v2mlib.widgets import bundle, packing

    page.goto("about:blank")
    page.set_content(
        f"<!DOCTYPE html><style>{bundle.style()}</style><body style='background:{background}'>"
    )
    page.add_script_tag(content=(HERE / "stand_in.js").read_text(encoding="utf-8"))
    code = bundle.script(entry).replace("export default", "globalThis.factory =")
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("globalThis.factory !== undefined")
    packed = [[packing.as_text(one._packed()), widget_state(one)] for one in widgets]
    page.evaluate(
        """(packed) => { globalThis.models = packed.map(([payload, state]) => {
          const place = document.body.appendChild(document.createElement("div"));
          return showWidget(payload, state, place);
        }); }""",
        packed,
    )
    wait_until_drawn(page)


def wait_until_drawn(page):
    """Wait until every face has come to rest and is drawn in full."""
    page.wait_for_function(
        """() => { const all = [...document.querySelectorAll(".v2m-stage canvas")];
          return all.length && all.every((one) => one.dataset.drawn === "fine"); }"""
    )


@contextlib.contextmanager
def jupyter_lab(folder, state, *, save_widgets=False):
    """Address of a JupyterLab that serves a folder; its settings live in `state`."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": f"{state}/config",
        "JUPYTER_DATA_DIR": f"{state}/data",
        "JUPYTER_RUNTIME_DIR": f"{state}/runtime",
        "JUPYTERLAB_SETTINGS_DIR": f"{state}/settings",
        "JUPYTERLAB_WORKSPACES_DIR": f"{state}/workspaces",
        "IPYTHONDIR": f"{state}/ipython",
        "OMP_NUM_THREADS": "2",
    }
    command = [sys.executable, "-m", "jupyterlab", "--no-browser", f"--port={port}",
               "--ServerApp.port_retries=0", "--IdentityProvider.token=", "--ServerApp.password=",
               "--ServerApp.disable_check_xsrf=True",
               f"--ServerApp.root_dir={folder}", "--allow-root"]  # fmt: skip
    _settings(f"{state}/settings", save_widgets)
    with open(f"{state}/lab.log", "w") as log:
        server = subprocess.Popen(command, env=environment, stdout=log, stderr=log)
        try:
            address = f"http://127.0.0.1:{port}"
            _wait_for(f"{address}/api", server, log.name)
            yield address
        finally:
            end_process(server)


def end_process(server):
    """End a server and all that it started, by force what does not end by itself."""
    started = []
    with contextlib.suppress(psutil.NoSuchProcess):
        started = psutil.Process(server.pid).children(recursive=True)
    server.terminate()
    try:
        server.wait(timeout=30)
    except subprocess.TimeoutExpired:
        server.kill()
        server.wait()
    for child in started:
        with contextlib.suppress(psutil.NoSuchProcess):
            child.kill()


def _settings(folder, save_widgets):
    """Every cell is drawn, wherever it is on the page; nobody asks about news."""
    for name, values in {
        "@jupyterlab/notebook-extension/tracker": {"windowingMode": "none"},
        "@jupyterlab/apputils-extension/notification": {"fetchNews": "false"},
        "@jupyter-widgets/jupyterlab-manager/plugin": {"saveState": save_widgets},
    }.items():
        path = Path(folder) / f"{name}.jupyterlab-settings"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values), encoding="utf-8")


def end_kernels(address):
    """Stop every kernel of a JupyterLab: one that waits takes memory from the tests after it."""
    with urllib.request.urlopen(f"{address}/api/sessions", timeout=PATIENCE_S) as answer:
        sessions = json.load(answer)
    for session in sessions:
        request = urllib.request.Request(f"{address}/api/sessions/{session['id']}", method="DELETE")
        with contextlib.suppress(urllib.error.URLError):
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()


def _wait_for(address, server, log):
    for _ in range(5 * PATIENCE_S):
        if server.poll() is not None:
            break
        with contextlib.suppress(urllib.error.URLError, ConnectionError, TimeoutError):
            urllib.request.urlopen(address, timeout=30).close()
            return
        time.sleep(0.2)
    with open(log) as stream:
        raise RuntimeError(f"JupyterLab does not answer:\n{stream.read()[-2000:]}")


def open_notebook(page, address, name):
    """Open a stored notebook in JupyterLab and wait until its cells are there."""
    page.goto(f"{address}/doc/tree/{name}")
    page.wait_for_selector(".jp-Notebook .jp-Cell")


_PROMPTS = """[...document.querySelectorAll(".jp-Notebook .jp-CodeCell .jp-InputPrompt")]
  .map((node) => node.textContent)"""


def wait_for_kernel(page):
    """Wait until a kernel is there and idle; without one JupyterLab would ask which."""
    page.wait_for_function(
        """() => [...document.querySelectorAll(".jp-Toolbar-kernelName")]
          .some((name) => name.textContent.includes("Python 3"))"""
    )
    page.wait_for_selector(".jp-NotebookPanel [data-status=idle]")


def run_all(page, *, again=False):
    """Run every cell and wait until all have; `again` where they have numbers from before."""
    from playwright.sync_api import TimeoutError as TooSlow

    wait_for_kernel(page)
    old = page.evaluate(_PROMPTS) if again else []
    for patience_s in (60, 120, 240):  # what is asked before the kernel listens is forgotten
        page.get_by_role("menuitem", name="Run", exact=True).click()
        page.get_by_role("menuitem", name="Run All Cells", exact=True).click()
        with contextlib.suppress(TooSlow):
            page.wait_for_function(
                f"(old) => {_PROMPTS}.some((text, k) => /[*\\d]/.test(text) && text !== old[k])",
                arg=old,
                timeout=patience_s * 1000,
            )
            break
    page.wait_for_function(f"{_PROMPTS}.every((text) => /\\[\\d+\\]/.test(text))")


def run_cell(page, cell):
    """Run one cell, whatever has the focus."""
    cell.locator(".cm-content").click()
    page.keyboard.press("Control+Enter")


def wait_until_said(page, expected):
    """Run the last cell until it prints what is expected: a slider's word takes its time."""
    last = page.locator(".jp-Notebook .jp-CodeCell").last
    deadline = time.monotonic() + PATIENCE_S
    while True:
        run_cell(page, last)
        page.wait_for_timeout(700)
        text = page.locator(".jp-OutputArea-output").last.inner_text().strip()
        if text == expected:
            return
        if time.monotonic() > deadline:
            raise AssertionError(f"Python says {text!r}, expected {expected!r}")


def restart_kernel(page):
    """Restart the kernel by the menu and wait until it listens again."""
    page.get_by_role("menuitem", name="Kernel", exact=True).click()
    page.get_by_text("Restart Kernel…", exact=True).first.click()
    page.locator(".jp-Dialog button.jp-mod-accept").click()
    page.wait_for_selector(".jp-NotebookPanel [data-status=restarting]")
    wait_for_kernel(page)
