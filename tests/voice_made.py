"""A browser page with the widget `VoiceToFace` on it, and the real Python behind it."""

import base64
import contextlib
from pathlib import Path

from browser import _FLAGS, PATIENCE_S, chromium_path, widget_state

SAFE, UNSAFE = "http://localhost/voice", "http://faces.test/voice"
_KERNEL = Path(__file__).with_name("voice_kernel.js")


class Kernel:
    """Python's side of the page: passes messages to the widget, and its answers back."""

    def __init__(self, widget):
        self.widget, self.sent = widget, []
        widget.send = lambda content, buffers=(): self.sent.append((content, list(buffers)))

    def hear(self, told):
        for name, value in told["traits"].items():
            setattr(self.widget, name, value)
        for content, buffers in told["messages"]:
            self.widget._handle_custom_msg(content, [base64.b64decode(b) for b in buffers])
        return self.answer()

    def answer(self):
        messages = [(c, [base64.b64encode(b).decode() for b in bs]) for c, bs in self.sent]
        self.sent.clear()
        return {"messages": messages, "traits": widget_state(self.widget)}


def show_voice(page, widget, *, address=SAFE, background="#ffffff"):
    """Show the widget on a page; returns the kernel that stands behind it."""
    kernel = Kernel(widget)
    page.kernel = kernel
    if not getattr(page, "has_python", False):
        page.expose_function("tellPython", lambda told: page.kernel.hear(told))
        page.has_python = True
    page.goto(address)
    body = f"<body style='background:{background}'>"
    page.set_content(f"<!DOCTYPE html><html lang='en'><style>{widget._css}</style>{body}")
    page.add_script_tag(content=_KERNEL.read_text(encoding="utf-8"))
    code = widget._esm.replace("export default", "globalThis.factory =")
    page.add_script_tag(content=code, type="module")
    page.wait_for_function("globalThis.factory !== undefined")
    page.evaluate(
        """async (state) => {
          const model = globalThis.model = voiceModel(state), widget = factory();
          const el = document.body.appendChild(document.createElement("div"));
          widget.initialize({ model });
          globalThis.closeView = widget.render({ model, el });
        }""",
        widget_state(widget),
    )
    page.locator(".v2m-voice").wait_for()
    return kernel


def give_back(page):
    """Tell the page what Python did by itself."""
    page.evaluate("(told) => model.take(told)", page.kernel.answer())


@contextlib.contextmanager
def chromium(*flags):
    """A browser of one's own, with more flags than the shared one."""
    path = chromium_path()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=[*_FLAGS, *flags])
        try:
            yield browser
        finally:
            browser.close()


def new_page(browser, *, size=(1000, 1100), **context):
    """A page without history; `page.complaints` gathers errors."""
    width, height = size
    viewport = {"width": width, "height": height}
    page = browser.new_context(viewport=viewport, **context).new_page()
    page.set_default_timeout(PATIENCE_S * 1000)
    page.complaints = []
    page.on("console", lambda m: m.type == "error" and page.complaints.append(m.text))
    page.on("pageerror", lambda error: page.complaints.append(str(error)))
    # Addresses without a server: whether the microphone is offered depends on them.
    blank = "<!DOCTYPE html><html lang='en'><link rel='icon' href='data:,'>"
    for address in (SAFE, UNSAFE):
        page.route(address, lambda route: route.fulfill(body=blank, content_type="text/html"))
    return page
