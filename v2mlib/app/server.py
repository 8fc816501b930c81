"""A Voilà server for one page: nothing else is served, and little is taken."""

import html
import os
import signal
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tornado.httpserver
import tornado.ioloop
import tornado.netutil
import tornado.web
from jupyter_server.base.handlers import JupyterHandler
from jupyter_server.utils import url_path_join
from traitlets.config import Config
from voila.app import Voila
from voila.tornado.handler import TornadoVoilaHandler

from v2mlib.app.page import MAX_UPLOAD_MB, MODEL
from v2mlib.checks import InputError

LOCAL = ("127.0.0.1", "localhost", "::1")
MESSAGE_BYTES = 1 << 20
"""Largest message that a browser may send to its kernel; recordings come in smaller pieces."""

_BODY_BYTES = 1 << 16  # of an HTTP request: no file comes this way
_SITE = Path(__file__).with_name("site")
_TEXTS = {"responsible-use": "RESPONSIBLE_USE.md", "model-card": "MODEL_CARD.md"}
_ASSETS = r"/voila/templates/([\w-]+/static/(?:[\w-][\w.-]*/)*[\w-][\w.-]*)"
_POLICY = "; ".join(
    (
        "default-src 'self'",
        # Voilà and the widgets' manager write scripts and styles into the page.
        "script-src 'self' 'unsafe-inline' 'unsafe-eval' blob:",
        "style-src 'self' 'unsafe-inline'",
        "img-src 'self' data: blob:",
        "font-src 'self' data:",
        "worker-src 'self' blob:",
        "connect-src 'self' ws: wss: data: blob:",
        "frame-ancestors 'self'",
    )
)


@dataclass(frozen=True)
class AppConfig:
    """Settings of the web page.

    Attributes
    ----------
    model : str
        Weights: a shipped name or a file.
    host : str
        Address to listen on; only this machine by default.
    port : int
        0 takes any that is free.
    max_upload_mb : float, MB
        Largest recording.
    max_visitors : int
        How many may be there at once: each has a process of some 500 MB.
    idle_s : int, s
        A visitor who does nothing for so long is forgotten.
    open_browser : bool
        Whether to open the page.
    synthetic : bool
        Whether the weights learnt from synthetic people, as the shipped ones did.

    Raises
    ------
    InputError
        For impossible settings.
    """

    model: str = "phantom"
    host: str = "127.0.0.1"
    port: int = 8866
    max_upload_mb: float = 20.0
    max_visitors: int = 8
    idle_s: int = 1800
    open_browser: bool = False
    synthetic: bool = True

    def __post_init__(self):
        checks = {
            "0 <= port <= 65535": 0 <= self.port <= 65535,
            "0 < max_upload_mb <= 500": 0 < self.max_upload_mb <= 500,
            "max_visitors >= 1": self.max_visitors >= 1,
            "idle_s >= 1": self.idle_s >= 1,
        }
        for rule, holds in checks.items():
            if not holds:
                raise InputError("the web page", "has impossible settings", f"it needs {rule}")

    @property
    def is_local(self):
        """Whether only this machine can reach the page."""
        return self.host in LOCAL


class _PlainErrors:
    """Errors as small pages that say nothing about the inside."""

    def write_error(self, status_code, **kwargs):
        words = {403: "Not allowed.", 404: "There is nothing here."}
        text = words.get(status_code, "Something went wrong: reload the page.")
        self.finish(_simple(f"Error {status_code}", f"<p>{text}</p>"))


class Page(_PlainErrors, TornadoVoilaHandler):
    """The page; each visitor gets a kernel of their own."""

    async def get(self, path=None):
        """Answer a visitor, or say that the house is full.

        Parameters
        ----------
        path : str, optional
            Not used: there is one page.
        """
        if len(self.kernel_manager.list_kernel_ids()) >= self.settings["v2m"].max_visitors:
            self.set_status(503)
            self.finish(_simple("Busy", "<p>Too many visitors at once: try again later.</p>"))
            return
        await super().get(path=None)


class Text(_PlainErrors, JupyterHandler):
    """Responsible use and the model card, as pages."""

    def get(self, name):
        """Show one of them.

        Parameters
        ----------
        name : str
            Its address.

        Raises
        ------
        tornado.web.HTTPError
            404 if there is no such text.
        """
        path = text_file(name)
        if path is None:
            raise tornado.web.HTTPError(404)
        from nbconvert.filters import markdown2html

        title = name.replace("-", " ").capitalize()
        self.finish(_simple(title, markdown2html(path.read_text("utf-8"))))


class Server(Voila):
    """Voilà with one page, its own template and tighter limits.

    Parameters
    ----------
    settings : AppConfig
        Where and how.
    ready : callable
        Called with the address once the page can be opened.
    **kwargs : dict
        As for Voilà.
    """

    def __init__(self, settings, ready, **kwargs):
        self._settings, self._ready = settings, ready
        super().__init__(**kwargs)

    def init_settings(self):
        """Limit what browsers may send, and from where.

        Returns
        -------
        dict
            Settings of the web application.
        """
        return {
            **super().init_settings(),
            "v2m": self._settings,
            "websocket_max_message_size": MESSAGE_BYTES,
            # Without this any web page could talk to a local server under another name.
            "allow_remote_access": not self._settings.is_local,
            "local_hostnames": ["localhost", "127.0.0.1", "::1"],
            "ws_ping_interval": 30_000,
            "ws_ping_timeout": 30_000,
            "headers": {"Content-Security-Policy": _POLICY, "Referrer-Policy": "no-referrer"},
        }

    def init_handlers(self):
        """Serve the page, its texts and what it is made of: no files, no folders, no source.

        Returns
        -------
        list
            Handlers of the web application.
        """
        kept = []
        for handler in super().init_handlers():
            address, arguments = handler[0], handler[2:]
            if "/voila/files/" in address:
                continue
            # Voilà stumbles over addresses of templates that are no assets.
            address = address.replace("/voila/templates/(.*)", _ASSETS)
            if handler[1] is TornadoVoilaHandler:
                kept.append((url_path_join(self.server_url, "/"), Page, *arguments))
            else:
                kept.append((address, handler[1], *arguments))
        return [*kept, (url_path_join(self.server_url, r"/about/([a-z-]+)"), Text)]

    def listen(self):
        """Open the port and serve until Ctrl-C or SIGTERM.

        Raises
        ------
        InputError
            If the port cannot be opened.
        """
        server = tornado.httpserver.HTTPServer(self.app, max_body_size=_BODY_BYTES)
        try:
            sockets = tornado.netutil.bind_sockets(self.port, self.ip)
        except OSError as error:
            self.stop()
            reason = error.strerror or str(error)
            raise InputError(
                f"port {self.port} of {self.ip}",
                f"cannot be opened ({reason})",
                "choose another with --port",
            ) from None
        self.port = sockets[0].getsockname()[1]
        server.add_sockets(sockets)
        self._ready(self._url(self.ip))
        if self.open_browser:
            self.launch_browser()
        self.ioloop = tornado.ioloop.IOLoop.current()
        # As SIGTERM, and also where a shell started this in the background, deaf to Ctrl-C.
        signal.signal(signal.SIGINT, self._handle_signal_stop)
        try:
            self.ioloop.start()
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
            server.stop()
            self.stop()


def serve(settings, *, ready=print):
    """Serve the page until it is stopped.

    Parameters
    ----------
    settings : AppConfig
        Where and how.
    ready : callable
        Called with the address once the page can be opened.

    Raises
    ------
    InputError
        If the port cannot be opened.
    """
    os.environ[MODEL] = str(settings.model)
    os.environ[MAX_UPLOAD_MB] = str(settings.max_upload_mb)
    # Where Jupyter looks for the page's template, before all other places.
    known = os.environ.get("JUPYTER_PATH", "")
    os.environ["JUPYTER_PATH"] = os.pathsep.join(filter(None, [str(_SITE), known]))
    config = Config()
    config.VoilaConfiguration.template = "v2m"
    config.VoilaConfiguration.allow_template_override = "NO"
    config.VoilaConfiguration.allow_theme_override = "NO"
    config.VoilaConfiguration.file_allowlist = []
    texts = " ".join(name for name in _TEXTS if text_file(name))
    config.VoilaConfiguration.resources = {
        "v2m_texts": texts,
        "v2m_synthetic": "yes" if settings.synthetic else "",
    }
    config.VoilaConfiguration.extension_allowlist = [
        "anywidget",
        "@jupyter-widgets/jupyterlab-manager",
        "@voila-dashboards/widgets-manager8",
    ]
    config.MappingKernelManager.cull_idle_timeout = settings.idle_s
    config.MappingKernelManager.cull_interval = max(1, min(60, settings.idle_s // 2))
    config.MappingKernelManager.cull_connected = True
    if os.name == "posix" and len(tempfile.gettempdir()) < 30:
        # Files that nobody else may open; their names must be short.
        config.KernelManager.transport = "ipc"
    server = Server(
        settings, ready, config=config, config_file_paths=[], log_level="ERROR",
        ip=settings.host, port=settings.port, open_browser=settings.open_browser,
    )  # fmt: skip
    server.initialize([str(_SITE / "page.ipynb")])
    server.start()


def text_file(name):
    """Find the text behind an address.

    Parameters
    ----------
    name : str
        ``responsible-use`` or ``model-card``.

    Returns
    -------
    pathlib.Path or None
        In a checkout or an installed package; None if it is neither.
    """
    package = Path(__file__).resolve().parents[1]
    for folder in (package.parent, package / "data"):
        path = folder / _TEXTS.get(name, "")
        if path.is_file():
            return path
    return None


def _simple(title, body):
    style = (_SITE / "voila/templates/v2m/page.css").read_text("utf-8")
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8">'
        f'<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{style}</style></head>"
        f'<body class="v2m-page"><main>{body}<p><a href="/">Back to the page</a></p></main></body>'
        "</html>"
    )
