"""What a visitor's kernel does: show the widget."""

import html
import os

MODEL, MAX_UPLOAD_MB = "V2M_APP_MODEL", "V2M_APP_MAX_UPLOAD_MB"
"""Environment variables in which the server tells the kernels what to load and to take."""


def show():
    """Display the widget, or why there is none."""
    from IPython.display import HTML, display

    from v2mlib.checks import V2MError
    from v2mlib.widgets import VoiceToFace

    try:
        model = os.environ.get(MODEL, "phantom")
        limit = float(os.environ.get(MAX_UPLOAD_MB, "20"))
        display(VoiceToFace(model, max_upload_mb=limit, height=320))
    except V2MError as error:
        display(HTML(f'<p role="alert">{html.escape(str(error))}</p>'))
