"""The demo's page: the answer, the table, faces one can turn, and what all this does not show."""

import numpy as np

from v2mlib.demo_figures import FACES
from v2mlib.evaluating import METHODS
from v2mlib.metrics.scoring import LINKED, RMSE
from v2mlib.predicting import DISCLAIMER
from v2mlib.report import (
    distance_mm,
    page,
    paragraph,
    picture,
    sound,
    table,
    text,
    with_interval,
)

WORLDS = {
    "default": (
        "In this world a voice tells about the face, also within a sex.",
        "The link between voice and face was built in, and built strong: within a sex a voice "
        "explains half the variance of each of four ratios of a face. In people the link is far "
        "weaker. The figures show that the method finds a link that is there, not how much a "
        "real voice tells.",
    ),
    "sex_only": (
        "In this world a voice tells the speaker's sex and nothing else about the face. A method "
        "that beats the sex-mean face here would be fooling itself.",
        "That the sexes differ was built in, and built strong: by a standard deviation or more "
        "in each of four ratios of a face.",
    ),
    "null": (
        "In this world a voice tells nothing about the face, not even the sex. A method that "
        "beats the mean face here would be fooling itself.",
        "The sex-mean face knows more here than any voice tells: it is given the true sex.",
    ),
}
TINY = (
    "This is the tiny size, made in seconds to see that everything works: so few people were "
    "heard that its figures mean nothing."
)
LIMITS = (
    "It does not show that a voice tells a face. The ceiling is what the best possible predictor "
    "would reach; even that is an average over all people who sound alike.",
    "It does not say anything about real people: voices and faces here are synthetic, and what "
    "links them was put there.",
    "A good part of any total skill is the speaker's sex. Only the within-sex skill shows "
    "whether a voice tells more than that.",
    "The whole face hardly comes closer: a voice is linked to four ratios and to little else, so "
    "the distance in mm between faces falls far less than the error of the ratios.",
    "The errors of single people scatter widely; the intervals are over identities, and with few "
    "identities they are wide.",
)


def demo_page(summary, skills, utterance_skills, people, *, model, figures, clips, facts):
    """Write the page.

    Parameters
    ----------
    summary : dict
        The demo's figures under the keys of ``v2m demo --json``.
    skills, utterance_skills : DataFrame
        From `skill_table`: the headline errors, and those of single utterances.
    people : People
        Whom to show.
    model : MorphableModel
        The face model.
    figures : path
        Folder of the demo's figures.
    clips : dict of str to list of ndarray
        Samples at 16 kHz of each person's utterances.
    facts : dict of str to str
        How it was made, in the order of the page.

    Returns
    -------
    str
        HTML.
    """
    from v2mlib.widgets import viewer_head

    said, law = WORLDS[summary["world"]]
    title = f"A face from a voice: the {summary['world'].replace('_', '-')} world"
    body = (
        f"<h1>{text(title)}</h1>\n"
        + paragraph(answer(summary), "lead")
        + paragraph(said)
        + (paragraph(TINY, "warn") if summary["size"] == "tiny" else "")
        + paragraph(f"{law} {DISCLAIMER}", "warn")
        + "<h2>Every method beside its references</h2>\n"
        + _methods_table(skills, utterance_skills, summary["n_test_identities"])
        + _figures(figures, "errors", "skill", "within_sex_skill", "lines")
        + "<h2>Predicted beside true</h2>\n"
        + paragraph(
            "Chosen by the rank of the error within their sex, not by eye. Drag a face to turn "
            "its row. Colours show how far the predicted face lies from the true one, on one "
            "scale for all."
        )
        + _people(people, model, clips)
        + "<h2>The training</h2>\n"
        + _figures(figures, "training")
        + "<h2>What this does not show</h2>\n<ul>"
        + "".join(f"<li>{text(words)}</li>" for words in LIMITS)
        + "</ul>\n<h2>How it was made</h2>\n"
        + "<dl>"
        + "".join(f"<dt>{text(name)}</dt><dd>{text(said)}</dd>" for name, said in facts.items())
        + "</dl>\n"
    )
    return page(title, body, script=viewer_head())


def answer(summary):
    """Say the result in one sentence or two.

    Parameters
    ----------
    summary : dict
        Under the keys of ``v2m demo --json``.

    Returns
    -------
    str
        Plain text.
    """
    n = summary["n_test_identities"]
    errors = (
        f"On {n} people it had never heard, the model's mean absolute ratio error is "
        f"{summary['model']:.4f}; the mean face has {summary['mean_face']:.4f}, the sex-mean face "
        f"{summary['sex_mean_face']:.4f}, the best possible guess from a voice "
        f"{summary['ceiling']:.4f}."
    )
    leads = {
        "within_sex_skill": "Of what a voice can tell beyond the sex it reaches",
        "skill": "Of what a voice can tell it reaches",
        "gain_vs_mean": "Over the mean face it gains",
    }
    key, words = next((key, words) for key, words in leads.items() if summary[key] is not None)
    value, low, high = summary[key], summary[f"{key}_ci_low"], summary[f"{key}_ci_high"]
    if low is None:
        return f"{errors} So few people leave the skill undetermined."
    interval = f"95 % interval {100 * low:.0f} to {100 * high:.0f} %"
    return f"{errors} {words} {100 * value:.0f} % ({interval})."


def _methods_table(skills, utterance_skills, n_identities):
    mean = skills[skills["measure"] == "mean"].set_index("method")
    linked = skills[skills["measure"] == LINKED].set_index("method")
    distance = skills[skills["measure"] == RMSE].set_index("method")
    single = utterance_skills[utterance_skills["measure"] == "mean"].set_index("method")
    rows, highlighted = [], []
    for method, words in METHODS.items():
        if method not in mean.index:
            continue
        if method == "model":
            highlighted.append(len(rows))
        cells = [text(words), _cell(mean.loc[method], "error", 4)]
        cells.append(f"{single.loc[method, 'error']:.4f}")
        judged = method not in ("mean_face", "ceiling")
        for row, name in (
            (mean, "skill"),
            (mean, "within_sex_skill"),
            (mean, "gain_vs_mean"),
            (mean, "gain_vs_sex_mean"),
            (linked, "skill"),
            (linked, "within_sex_skill"),
        ):
            skip = not judged or (method == "sex_mean_face" and "sex" in name)
            cells.append("" if skip else _cell(row.loc[method], name, 2))
        cells.append(_cell(distance.loc[method], "error", 2))
        rows.append(cells)
    headers = (
        "method",
        "error<br>(mean ARE)",
        "error per<br>utterance",
        "total<br>skill",
        "within-sex<br>skill",
        "gain over<br>mean face",
        "gain over<br>sex-mean face",
        "total skill,<br>squared error",
        "within-sex skill,<br>squared error",
        "distance<br>(mm)",
    )
    caption = (
        f"{n_identities} test identities, all of them unknown to every method; 95 % bootstrap "
        "intervals over identities. ARE: absolute error of a line's ratio to the outer "
        "interocular distance, averaged over ear, forehead, midline and cheek (corrected lines). "
        "Skill: 0 is the mean (or sex-mean) face, 1 the ceiling; a dash where the world's law "
        "leaves nothing to gain. Squared error: of the coefficients that move the four ratios. "
        "Distance: root-mean-square over all vertices of the head."
    )
    return table(rows, headers, caption=caption, highlighted=highlighted)


def _cell(row, name, digits):
    return with_interval(row[name], row[f"{name}_ci_low"], row[f"{name}_ci_high"], digits)


_CAPTIONS = {
    "errors": "Mean absolute ratio error with 95 % intervals; the dotted line is the ceiling.",
    "skill": "Total skill. A good part of it is the speaker's sex.",
    "within_sex_skill": "Within-sex skill: what a voice tells beyond the sex.",
    "lines": "Absolute ratio error of each corrected line.",
    "training": "The weights kept are those with the smallest loss on the validation identities.",
}


def _figures(folder, *names):
    paths = {name: folder / f"{name}.png" for name in names}
    found = [picture(path, _CAPTIONS[name]) for name, path in paths.items() if path.exists()]
    return f'<div class="plots">{"".join(found)}</div>\n'


def _people(people, model, clips):
    from v2mlib.widgets import mesh_figure

    triangles = model.triangles.numpy()
    reference = people.vertices["reference"]
    wrong = {key: distance_mm(faces, reference) for key, faces in people.vertices.items()}
    limit = max(1.0, float(np.ceil(np.percentile(wrong["model"], 99.5))))
    cards, shared = [], {}
    for number, row in enumerate(people.table.itertuples()):
        errors = people.errors.loc[row.identity]
        faces = [(words, people.vertices[key][number], triangles) for key, words in FACES.items()]
        captions = ["the reference"] + [
            f"ARE {errors[key]:.3f}; on average {wrong[key][number].mean():.1f} mm off"
            for key in list(FACES)[1:]
        ]
        distance = wrong["model"][number]
        faces.append(("predicted: where it is off", faces[1][1], triangles, distance))
        captions.append(f"at most {distance.max():.1f} mm")
        sounds = "".join(
            sound(samples, label=f"utterance {count}")
            for count, samples in enumerate(clips.get(row.identity, ()), start=1)
        )
        name = row.name.replace("_", " ")
        cards.append(
            f'<section class="person"><h3>{text(name)} ({text(row.identity)}), '
            f'{text(row.rule)}</h3><div class="sounds">{sounds}</div>'
            + mesh_figure(
                faces,
                model=model,
                captions=captions,
                limits=(0, limit),
                height=250,
                theme="light",
                tools=False,
                shared=shared,
            )
            + "</section>\n"
        )
    return "".join(cards)
