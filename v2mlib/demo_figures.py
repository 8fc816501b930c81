"""The demo's figures, and whom they show."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from v2mlib.evaluating import METHODS
from v2mlib.files import atomic
from v2mlib.metrics.ratios import RATIO_LINES
from v2mlib.report import distance_mm

FACES = {
    "reference": "true face",
    "model": "predicted",
    "sex_mean_face": "sex-mean face",
    "mean_face": "mean face",
}


class People(NamedTuple):
    """Test identities to show: who, by which rule, their faces and errors."""

    table: pd.DataFrame  # identity, name, sex, rule
    vertices: dict  # FACES key -> (person, vertex, xyz) mm
    errors: pd.DataFrame  # index identity, columns METHODS: mean corrected ARE


def choose_people(scores, identities, *, per_sex=3):
    """Test identities at set ranks of the model's error, so that nobody is picked by eye.

    Parameters
    ----------
    scores : DataFrame
        From `score_methods`.
    identities : DataFrame
        With ``identity`` and ``name``.
    per_sex : int
        How many of each sex.

    Returns
    -------
    DataFrame
        ``identity``, ``name``, ``sex`` and ``rule``, the rank among their sex in words.
    """
    errors = scores.query("method == 'model' and measure == 'mean'")
    rows = []
    for sex, word in (("f", "women"), ("m", "men")):
        ranked = errors[errors["sex"] == sex].sort_values(["error", "identity"])
        for share in np.linspace(0.1, 0.9, per_sex):
            if len(ranked):
                chosen = ranked.iloc[round(share * (len(ranked) - 1))]
                rule = f"better predicted than {100 - 100 * share:.0f} % of the {word}"
                rows.append({"identity": chosen["identity"], "sex": sex, "rule": rule})
    rows = pd.DataFrame(rows).drop_duplicates("identity")
    return rows.merge(identities[["identity", "name"]], on="identity")


def decode(model, coefficients):
    """Faces as arrays.

    Parameters
    ----------
    model : MorphableModel
        The face model.
    coefficients : array_like, (face, shape), standard deviations
        Shape coefficients.

    Returns
    -------
    ndarray, (face, vertex, xyz=3), mm
        The faces.
    """
    return model.decode(torch.tensor(np.asarray(coefficients), dtype=torch.float32)).numpy()


def write_figures(folder, skills, history, people, model):
    """Write the demo's figures as PNG files.

    Parameters
    ----------
    folder : path
        For the files.
    skills : DataFrame
        From `skill_table`.
    history : DataFrame
        Of the training: ``step``, ``loss``, ``validation_loss``, ``is_best``.
    people : People
        Whom to show.
    model : MorphableModel
        The face model.
    """
    from v2mlib import plots
    from v2mlib.plot_pictures import draw

    order = [name for name in METHODS if name in set(skills["method"])]
    mean = skills[skills["measure"] == "mean"].set_index("method").loc[order].reset_index()
    ceiling = float(mean.loc[mean["method"] == "ceiling", "error"].iloc[0])
    charts = {
        "errors": plots.errors(
            _renamed(mean, "error"),
            references={"ceiling": ceiling},
            title="Error of each method (shorter is better)",
            axis="mean absolute ratio error, four corrected lines",
        )
    }
    references = ["ceiling", "mean_face"]
    for name, title in (
        ("skill", "Total skill: from the mean face to the ceiling"),
        ("within_sex_skill", "Within-sex skill: from the sex-mean face to the ceiling"),
    ):
        judged = mean[~mean["method"].isin(references)]
        references.append("sex_mean_face")
        if judged[name].notna().any():
            renamed = _renamed(judged, name).rename(columns={name: "skill"})
            charts[name] = plots.skills(renamed, title=title)
    shown = ["mean_face", "sex_mean_face", "model", "ceiling"]
    by_line = skills[skills["measure"].isin(RATIO_LINES) & skills["method"].isin(shown)]
    by_line = _renamed(by_line, "error").rename(columns={"measure": "line"})
    charts["lines"] = plots.errors_by_line(
        by_line.assign(method=pd.Categorical(by_line["method"], shown)).sort_values("method"),
        title="Error of each line",
    )
    for name, chart in charts.items():
        with atomic(folder / f"{name}.png") as partial:
            draw(chart, scale=2).savefig(partial, format="png")
    with atomic(folder / "training.png") as partial:
        _training(history).savefig(partial, format="png", dpi=192)
    with atomic(folder / "faces.png") as partial:
        _sheet(people, model).save(partial, format="PNG")


def _renamed(rows, column):
    columns = {f"{column}_ci_low": "ci_low", f"{column}_ci_high": "ci_high"}
    return rows[["measure", "method", column, *columns]].rename(columns=columns)


def _training(history):
    from matplotlib.figure import Figure

    from v2mlib.plots import colour_of

    sheet = Figure(figsize=(7.9, 3.1), layout="constrained")
    axes = sheet.add_subplot()
    for column, words, colour in (
        ("loss", "training identities", colour_of("mean_face")),
        (
            "validation_loss",
            "validation identities (drawn from training names)",
            colour_of("model"),
        ),
    ):
        rows = history.dropna(subset=[column])
        axes.plot(rows["step"], rows[column], color=colour, label=words)
    kept = history.loc[history["is_best"], "step"].iloc[-1]
    axes.axvline(kept, color="#1b2230", ls=":", lw=1.4, label="kept")
    axes.spines[["top", "right"]].set_visible(False)
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.set_title("Training", loc="left", fontsize=12)
    axes.legend(frameon=False, fontsize=9)
    return sheet


def _sheet(people, model):
    """Rendered rows of people: true, predicted, sex-mean, mean, and where the prediction errs."""
    from PIL import Image, ImageDraw, ImageFont

    from v2mlib.faces.rendering import ambient_occlusion, contact_sheet, render
    from v2mlib.widgets.colouring import scalar_map

    triangles = model.triangles.numpy()
    skin = None if model.colours is None else model.colours.numpy()
    options = {
        "size": (260, 210),
        "camera": "three_quarter",
        "occlusion": ambient_occlusion(model.mean.numpy(), triangles),
    }
    wrong = distance_mm(people.vertices["model"], people.vertices["reference"])
    maps = scalar_map(list(wrong))
    images = []
    for person, numbers in enumerate(maps):
        for key in FACES:
            images.append(render(people.vertices[key][person], triangles, colours=skin, **options))
        options_flat = options | {"colours": numbers.colours(), "gloss": np.zeros(len(wrong[0]))}
        images.append(render(people.vertices["model"][person], triangles, **options_flat))
    body = contact_sheet(images, columns=len(FACES) + 1)
    sheet = Image.new("RGB", (body.shape[1], body.shape[0] + 34), "white")
    sheet.paste(Image.fromarray(body), (0, 34))
    paper = ImageDraw.Draw(sheet)
    font = ImageFont.load_default(15)
    titles = [*FACES.values(), f"predicted: 0 to {maps[0].high:g} mm off"]
    for column, words in enumerate(titles):
        paper.text((column * 214 + 105, 17), words, fill="#1b2230", font=font, anchor="mm")
    return sheet
