"""Self-contained HTML pages: text, tables, pictures, sound and faces one can turn."""

import base64
import html
import io
import warnings
from pathlib import Path
from urllib.parse import quote

import numpy as np

import v2mlib

STYLE = """
:root { color-scheme: light; --ink: #1b2230; --soft: #4a5568; --edge: #d5dbe5; --tint: #f4f6fa; }
body { margin: 0; background: #fff; color: var(--ink);
       font: 16px/1.55 system-ui, -apple-system, "Segoe UI", "Liberation Sans", sans-serif; }
main { max-width: 1220px; margin: 0 auto; padding: 28px 22px 60px; }
h1 { font-size: 1.9rem; line-height: 1.2; margin: 0 0 .4em; }
h2 { font-size: 1.3rem; margin: 2.2em 0 .5em; padding-top: .7em;
     border-top: 1px solid var(--edge); }
h3 { font-size: 1.05rem; margin: 0 0 .4em; }
p, li { max-width: 75ch; }
.lead { font-size: 1.15rem; }
.warn { border-left: 5px solid #b45309; background: #fff7ed; padding: .7em 1em; max-width: 75ch; }
.soft, figcaption, .foot { color: var(--soft); font-size: .92rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; margin: .8em 0;
        font-size: .88rem; }
th, td { padding: .32em .5em; border-bottom: 1px solid var(--edge); text-align: right;
         white-space: nowrap; }
th:first-child, td:first-child { text-align: left; }
thead th { border-bottom: 2px solid var(--ink); vertical-align: bottom; }
tr.ours td { background: #eef5fb; font-weight: 600; }
td small { color: var(--soft); font-weight: 400; display: block; font-size: .82em; }
.person { border: 1px solid var(--edge); border-radius: 10px; padding: 14px; margin: 0 0 18px;
          background: var(--tint); }
.sounds { display: flex; flex-wrap: wrap; gap: 10px 16px; align-items: center;
          margin: .3em 0 .8em; }
.sounds audio { height: 34px; max-width: 100%; }
.grid { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 520px), 1fr));
        gap: 16px; }
.grid .person { margin: 0; min-width: 0; }
.plots { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr));
         gap: 10px 26px; align-items: start; }
img.plot { width: 100%; max-width: 760px; height: auto; }
figure { margin: 1em 0; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25em 1.4em; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
"""


_FEW = 40  # recordings; for more, a page with every colour map would weigh over 15 MB


def page(title, body, *, script=""):
    """Write a whole HTML page that fetches nothing.

    Parameters
    ----------
    title : str
        Of the page, as plain text.
    body : str
        HTML.
    script : str
        HTML for the end of the body, such as `v2mlib.widgets.viewer_head`.

    Returns
    -------
    str
        The page.
    """
    return (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{text(title)}</title><link rel="icon" href="data:,">'
        f"<style>{STYLE}</style></head>\n<body><main>\n{body}\n"
        f'<p class="foot">Made by v2mlib {v2mlib.__version__}. This page holds all it needs; '
        "it loads nothing.</p></main>\n"
        f"{script}</body></html>\n"
    )


def text(value):
    """Escape plain text for HTML.

    Parameters
    ----------
    value : object
        Shown as ``str`` has it.

    Returns
    -------
    str
        HTML.
    """
    return html.escape(str(value))


def paragraph(words, css=""):
    """Write a paragraph of plain text.

    Parameters
    ----------
    words : str
        Plain text.
    css : str
        Class names.

    Returns
    -------
    str
        HTML.
    """
    return f'<p class="{css}">{text(words)}</p>\n' if css else f"<p>{text(words)}</p>\n"


def table(rows, headers, *, caption="", highlighted=()):
    """Write a table of ready cells.

    Parameters
    ----------
    rows : sequence of sequence of str
        HTML cells.
    headers : sequence of str
        HTML cells.
    caption : str
        Plain text below the table.
    highlighted : container of int
        Rows to set off.

    Returns
    -------
    str
        HTML.
    """
    head = "".join(f'<th scope="col">{cell}</th>' for cell in headers)
    lines = []
    for number, row in enumerate(rows):
        opening = '<tr class="ours">' if number in highlighted else "<tr>"
        lines.append(opening + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>")
    return (
        f'<div class="scroll"><table>'
        f"<thead><tr>{head}</tr></thead><tbody>\n"
        + "\n".join(lines)
        + "\n</tbody></table></div>\n"
        + (paragraph(caption, "soft") if caption else "")
    )


def with_interval(value, low, high, digits=2):
    """Write a figure with its interval below it.

    Parameters
    ----------
    value, low, high : float
        The figure and its interval; not finite where undefined.
    digits : int
        Behind the decimal point.

    Returns
    -------
    str
        HTML of a table cell.

    Examples
    --------
    >>> with_interval(0.8131, 0.7511, 0.8749)
    '0.81<small>0.75 to 0.87</small>'
    >>> with_interval(float("nan"), float("nan"), float("nan"))
    '&ndash;'
    """
    if not np.isfinite(value):
        return "&ndash;"
    if not np.isfinite([low, high]).all():
        return f"{value:.{digits}f}<small>too few people</small>"
    return f"{value:.{digits}f}<small>{low:.{digits}f} to {high:.{digits}f}</small>"


def picture(path, caption, *, description=""):
    """Show a picture file inside the page.

    Parameters
    ----------
    path : path
        A PNG.
    caption : str
        Plain text below it.
    description : str
        For readers who do not see it.

    Returns
    -------
    str
        HTML.
    """
    data = base64.b64encode(Path(path).read_bytes()).decode()
    return (
        f'<figure><img class="plot" alt="{text(description or caption)}" '
        f'src="data:image/png;base64,{data}"><figcaption>{text(caption)}</figcaption></figure>\n'
    )


def sound(samples, sample_rate=16_000, *, label="", longest_s=10.0):
    """Play samples inside the page.

    Parameters
    ----------
    samples : ndarray, (sample,), in [-1, 1]
        One channel.
    sample_rate : int, Hz
        Of the samples.
    label : str
        Plain text beside the player.
    longest_s : float, s
        What is longer is faded out there.

    Returns
    -------
    str
        HTML with about 3 KB per second of sound.
    """
    import soundfile

    samples = np.asarray(samples, dtype=np.float32)
    longest = int(longest_s * sample_rate)
    if samples.size > longest:
        samples = samples[:longest].copy()
        fade = min(longest, sample_rate // 4)
        samples[-fade:] *= np.linspace(1, 0, fade, dtype=np.float32)
        label = f"{label} (first {longest_s:g} s)".strip()
    # Every browser plays MP3; a libsndfile built without it still writes WAV.
    kind = "mpeg" if "MP3" in soundfile.available_formats() else "wav"
    stream = io.BytesIO()
    options = {"format": "MP3", "compression_level": 0.6} if kind == "mpeg" else {"format": "WAV"}
    soundfile.write(stream, samples, sample_rate, **options)
    data = base64.b64encode(stream.getvalue()).decode()
    return (
        f'<span class="soft">{text(label)}</span>'
        f'<audio controls preload="none" src="data:audio/{kind};base64,{data}"></audio>'
    )


def distance_mm(predicted, reference):
    """Distance between corresponding vertices.

    Parameters
    ----------
    predicted, reference : ndarray, (..., vertex, xyz=3), mm
        Faces of one topology. Nothing is aligned.

    Returns
    -------
    ndarray, (..., vertex), mm
        Euclidean distances.
    """
    return np.linalg.norm(np.asarray(predicted) - np.asarray(reference), axis=-1)


def prediction_page(predictions, voice2mesh, disclaimers):
    """Write the page over the faces predicted for some recordings.

    Parameters
    ----------
    predictions : sequence of Prediction
        From `v2mlib.predicting`.
    voice2mesh : Voice2Mesh
        What predicted them.
    disclaimers : sequence of str
        What the faces are not, as plain text.

    Returns
    -------
    str
        HTML: per recording a player, the face, and its distance from the mean face.
    """
    from v2mlib.widgets import mesh_figure, viewer_head

    model = voice2mesh.face_model
    mean, triangles = model.mean.numpy(), model.triangles.numpy()
    faces = [np.asarray(prediction.face.vertices) for prediction in predictions]
    distances = [distance_mm(face, mean) for face in faces]
    limit = max(1.0, float(np.ceil(np.percentile(np.stack(distances), 99.5))))
    cards, shared, few = [], {}, len(predictions) <= _FEW
    for prediction, vertices, distance in zip(predictions, faces, distances, strict=True):
        views = [("predicted from the voice", vertices, triangles)]
        if few:
            views.append(("how far it is from the mean face", vertices, triangles, distance))
        remarks = "".join(paragraph(remark, "soft") for remark in prediction.remarks)
        links = ", ".join(
            f'<a href="{quote(name)}">{text(name)}</a>' for name in prediction.outputs
        )
        still = next(name for name in prediction.outputs if name.endswith(".png"))
        cards.append(
            f'<section class="person"><h3>{text(prediction.name)}</h3>'
            f'<div class="sounds">{_recording(prediction.file)}</div>'
            f'<noscript><img src="{quote(still)}" alt="predicted face"></noscript>'
            + mesh_figure(
                views,
                model=model,
                captions=[f"on average {distance.mean():.1f} mm from the mean face", ""][
                    : len(views)
                ],
                limits=(0, limit),
                height=300,
                theme="light",
                tools=few,
                pictures=False,
                shared=shared,
            )
            + f'{remarks}<p class="soft">{text(prediction.file)}<br>{links}</p></section>\n'
        )
    what = "a voice" if len(predictions) == 1 else f"{len(predictions)} voices"
    body = (
        f"<h1>Faces predicted from {what}</h1>\n"
        + "".join(paragraph(words, "warn") for words in disclaimers)
        + paragraph(
            "Drag a face to turn it. The mean face is what one would draw without having heard "
            "anything: the distance from it is all that the voice has changed."
        )
        + f'<div class="grid">\n{"".join(cards)}</div>\n'
    )
    return page(f"Faces predicted from {what}", body, script=viewer_head())


def _recording(file):
    from v2mlib.voices import read_audio

    with warnings.catch_warnings():  # what is odd about it was said when the face was predicted
        warnings.simplefilter("ignore")
        return sound(*read_audio(file))
