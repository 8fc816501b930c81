"""`v2m app`: a real server, what it serves and what it refuses, and a real visitor."""

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import psutil
import pytest
import soundfile
from browser import PATIENCE_S
from predict_made import RATE, made_speech

from v2mlib.checks import InputError
from v2mlib.cli import main

pytest.importorskip("voila", reason="Voilà is not installed (pip install 'v2mlib[app]')")

from v2mlib.app import server as app
from v2mlib.app.server import MESSAGE_BYTES, AppConfig

_PAGE = Path(app.__file__).with_name("site") / "page.ipynb"


@contextlib.contextmanager
def running(folder, *words):
    """Address of a server of one's own; always killed."""
    log = folder / "app.log"
    command = [sys.executable, "-m", "v2mlib.cli", "app", "--port", "0", "--no-browser", *words]
    environment = os.environ | {
        "JUPYTER_CONFIG_DIR": f"{folder}/config",
        "JUPYTER_RUNTIME_DIR": f"{folder}/runtime",
        "IPYTHONDIR": f"{folder}/ipython",
        "OMP_NUM_THREADS": "1",
    }
    with open(log, "w") as stream:
        process = subprocess.Popen(
            command, env=environment, stdout=stream, stderr=stream, cwd=folder,
            start_new_session=True,
        )  # fmt: skip
        try:
            for _ in range(5 * PATIENCE_S):
                found = re.search(r"the page is at (http://\S+)/ ", log.read_text())
                if found or process.poll() is not None:
                    break
                time.sleep(0.2)
            assert found, log.read_text()
            yield found.group(1), process, log
        finally:
            if process.poll() is None:
                for child in psutil.Process(process.pid).children(recursive=True):
                    with contextlib.suppress(psutil.NoSuchProcess):
                        child.kill()
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def served(tmp_path_factory):
    with running(tmp_path_factory.mktemp("app"), "--max-upload-mb", "0.5") as found:
        yield found


def fetch(address, **headers):
    """Status and text of an answer."""
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode(errors="replace")


# --- what is served ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "path",
    [
        "page.ipynb",
        "voila/files/page.ipynb",
        "voila/files/",
        "voila/tree/",
        "voila/render/page.ipynb",
        "voila/api/contents/",
        "api/contents/page.ipynb",
        "api/kernels",
        "tree",
        "files/page.ipynb",
        "voila/static/../../../page.ipynb",
        "voila/templates/v2m/static/%2e%2e/index.html.j2",
        "voila/templates/v2m/index.html.j2",
        "voila/static/",
        "about/../server.py",
        "about/page",
    ],
)
def test_neither_source_nor_folders_are_served(served, path):
    status, text = fetch(f"{served[0]}/{path}")
    assert status in (403, 404, 405), text[:200]
    assert "v2mlib.app.page" not in text
    assert "kernelspec" not in text
    assert "Traceback" not in text


def test_another_name_for_this_machine_is_refused(served):
    """A web page whose name is pointed at 127.0.0.1 must not reach the kernels."""
    assert fetch(f"{served[0]}/", Host="evil.test")[0] == 403
    kernel = f"{served[0]}/api/kernels/{uuid.uuid4()}"
    assert fetch(kernel, Host="evil.test")[0] == 403
    assert fetch(kernel)[0] == 404


def test_texts_are_pages(served):
    for name in ("responsible-use", "model-card"):
        status, text = fetch(f"{served[0]}/about/{name}")
        assert status == (200 if app.text_file(name) else 404)
        assert ("<h1" in text) == (status == 200)
    status, text = fetch(f"{served[0]}/about/nothing")
    assert status == 404
    assert "There is nothing here." in text


def test_a_large_request_is_refused(served):
    """Nothing but small requests comes by HTTP."""
    port = int(served[0].rsplit(":", 1)[1])
    answers = []
    for size in (200_000, 0):
        with socket.create_connection(("127.0.0.1", port), timeout=PATIENCE_S) as visitor:
            head = f"POST / HTTP/1.1\r\nHost: localhost\r\nContent-Length: {size}\r\n\r\n"
            visitor.sendall(head.encode())
            answers.append(visitor.recv(1000).split(b"\r\n")[0])
    assert answers[0] in (b"", b"HTTP/1.1 400 Bad Request")
    assert answers[1].split()[1] in (b"403", b"405")  # heard, but there is nothing to post to


def test_the_page_holds_one_call():
    notebook = json.loads(_PAGE.read_text("utf-8"))
    (cell,) = notebook["cells"]
    assert "".join(cell["source"]) == "from v2mlib.app.page import show\n\nshow()"
    assert cell["outputs"] == []


# --- visitors ---------------------------------------------------------------------------------


def test_two_visitors_send_voices_and_do_not_meet(served, tmp_path):
    from voice_made import chromium, new_page

    address, process, log = served
    speech = made_speech()
    soundfile.write(tmp_path / "hello.wav", speech, RATE)
    (tmp_path / "diary.wav").write_text("Dear diary, today I recorded nothing.\n" * 50)
    (tmp_path / "big.wav").write_bytes(bytes(600_000))
    files = [tmp_path / name for name in ("diary.wav", "hello.wav", "big.wav")]
    with chromium() as browser:
        page, other = (new_page(browser, size=(1000, 1300)) for _ in range(2))
        asked = []
        page.on("request", lambda request: asked.append(request.url))
        page.goto(f"{address}/", wait_until="commit")
        assert "picture of the speaker" in page.locator("header").inner_text()
        other.goto(f"{address}/", wait_until="commit")
        page.locator(".v2m-voice").wait_for()
        page.locator("input[type=file]").set_input_files(files)
        page.locator(".v2m-stage canvas").nth(2).wait_for()
        alert = page.get_by_role("alert")
        assert "diary.wav is not audio that can be read (Format not recognised): use WAV" in (
            alert.inner_text()
        )
        alert.get_by_text("big.wav has 0.6 MB, more than the limit of 0.5 MB").wait_for()
        # The other visitor has a kernel of their own, which heard nothing.
        other.locator(".v2m-voice").wait_for()
        assert other.get_by_text("will stand here").is_visible()
        assert other.locator(".v2m-voice canvas").count() == 1
        assert {url.split("/")[2] for url in asked if url.startswith("http")} == {
            address.removeprefix("http://")
        }
        assert page.complaints == other.complaints == []
        # The server's own limit on messages, whatever the page says.
        for size, reply in ((MESSAGE_BYTES // 2, "kernel_info_reply"), (MESSAGE_BYTES, "closed")):
            assert page.evaluate(_ASK_AT_LENGTH, [address.replace("http", "ws"), size]) == reply
    assert "Traceback" not in log.read_text()
    assert process.poll() is None


_ASK_AT_LENGTH = """([address, size]) => new Promise((resolve) => {
  const { kernelId } = JSON.parse(document.getElementById("jupyter-config-data").textContent);
  const socket = new WebSocket(`${address}/api/kernels/${kernelId}/channels?session_id=long`);
  const header = { msg_id: "1", msg_type: "kernel_info_request", username: "", session: "long",
    date: new Date().toISOString(), version: "5.3" };
  socket.onopen = () => socket.send(JSON.stringify({ channel: "shell", header, parent_header: {},
    metadata: { padding: "x".repeat(size) }, content: {} }));
  socket.onmessage = ({ data }) => {
    if (JSON.parse(data).header.msg_type === "kernel_info_reply") resolve("kernel_info_reply");
  };
  socket.onclose = () => resolve("closed");
})"""


def test_surplus_and_idle_visitors_and_the_end(tmp_path):
    """One visitor at a time, forgotten after some seconds; then Ctrl-C."""
    words = ("--max-visitors", "1", "--idle-minutes", "0.4")
    with running(tmp_path, *words) as (address, process, log):
        status, text = fetch(f"{address}/")
        assert status == 200
        assert "rendered_cells" in text
        status, text = fetch(f"{address}/")
        assert (status, "Too many visitors" in text) == (503, True)
        server = psutil.Process(process.pid)
        for _ in range(5 * PATIENCE_S):
            if not server.children(recursive=True):
                break
            time.sleep(0.2)
        assert server.children(recursive=True) == []
        # There is room again; the server ends its kernels with itself, whatever they do.
        with socket.create_connection(("127.0.0.1", int(address.rsplit(":", 1)[1]))) as visitor:
            visitor.sendall(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n")
            assert b" 200 " in visitor.recv(1000)
            for _ in range(10 * PATIENCE_S):
                if kernels := server.children(recursive=True):
                    break
                time.sleep(0.1)
            process.send_signal(signal.SIGINT)
            assert process.wait(timeout=PATIENCE_S) == 0
        assert log.read_text().rstrip().endswith("v2m: stopped")
        assert psutil.wait_procs(kernels, timeout=PATIENCE_S)[1] == []


# --- the command line --------------------------------------------------------------------------


def test_impossible_settings_are_refused():
    for settings in ({"port": 70_000}, {"max_upload_mb": 0}, {"max_visitors": 0}, {"idle_s": 0}):
        with pytest.raises(InputError, match="it needs"):
            AppConfig(**settings)
    assert AppConfig().is_local
    assert not AppConfig(host="0.0.0.0").is_local


def test_bad_weights_are_refused_before_anything_is_served(capsys):
    assert main(["app", "--no-browser", "--model", "nonsense"]) == 1
    assert "model nonsense is unknown" in capsys.readouterr().err


def test_other_hosts_are_warned_about(capsys, monkeypatch):
    served = []
    monkeypatch.setattr(app, "serve", lambda settings, ready: served.append(settings))
    assert main(["app", "--host", "0.0.0.0", "--no-browser"]) == 0
    said = capsys.readouterr().err
    assert "warning: --host 0.0.0.0 lets everybody" in said
    assert served[0].host == "0.0.0.0"
    assert main(["app", "--no-browser"]) == 0
    assert "warning" not in capsys.readouterr().err


def test_a_port_in_use_is_named(served):
    port = served[0].rsplit(":", 1)[1]
    code = f"from v2mlib.app.server import AppConfig, serve; serve(AppConfig(port={port}))"
    command = [sys.executable, "-c", code]
    found = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE_S)
    assert f"InputError: port {port} of 127.0.0.1 cannot be opened" in found.stderr
