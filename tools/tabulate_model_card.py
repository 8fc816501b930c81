"""Write the tables of the model card from what is shipped.

    python tools/tabulate_model_card.py [--check]

Each table stands between `<!-- table: NAME -->` and `<!-- end of table -->` in `MODEL_CARD.md`.
With --check nothing is written, and the exit code says whether the tables are current.
"""

import argparse
import json
import re
import sys
from pathlib import Path

import pandas as pd

from v2mlib import metrics, phantom
from v2mlib.faces import load_face_model
from v2mlib.files import atomic
from v2mlib.fitting import shipped_predictions
from v2mlib.paths import shipped

CARD = Path(__file__).resolve().parents[1] / "MODEL_CARD.md"
WORDS = {
    "mean_face": "mean face (knows nothing)",
    "sex_mean_face": "sex-mean face (knows the sex)",
    "supervised": "**supervised model (shipped weights)**",
    "pretrained": "speaker-recognition encoder with ridge heads",
    "ridge": "ridge on pitch and formants",
    "cascade": "cascade: voice to image, image to face",
    "cascade_shrunk": "cascade, shrunk to the mean",
    "unsupervised": "unsupervised model",
    "unsupervised_drawn": "unsupervised model, teacher reads drawn images (Eq. 3)",
    "shuffled": "supervised, voices shuffled (null)",
    "shuffled_within_sex": "supervised, voices shuffled within sex (null)",
    "ceiling": "ceiling (best possible, by the law)",
}
WEIGHTS = {
    "phantom": "voice to face, supervised (`Voice2Mesh.load(\"phantom\")`)",
    "phantom_image_to_face": "image to face, the teacher of the unsupervised chain",
    "phantom_unsupervised": "voice to image to face, unsupervised",
}  # fmt: skip


def table_of_models():
    """Every shipped set of weights, its size and checksum."""
    rows = []
    for name, words in WEIGHTS.items():
        card = shipped("README.md").with_name(f"{name}.json")
        if card.exists():
            content = json.loads(card.read_text("utf-8"))
            rows.append(
                {
                    "file": f"`data/{name}.safetensors`",
                    "what": words,
                    "trained on": "phantom, synthetic people",
                    "SHA-256 begins": f"`{content['weights_sha256'][:12]}`",
                }
            )
    return pd.DataFrame(rows)


def table_of_scores(world):
    """Mean ratio error of every method, beside baselines, null and ceiling."""
    scores, rows = shipped_predictions(world).card["scores"], []
    for name in sorted(scores, key=lambda one: [*WORDS, one].index(one)):
        score = scores[name]
        rows.append(
            {
                "method": WORDS.get(name, name),
                "mean ratio error": figure(score, "error", "{:.4f}"),
                "gain over sex-mean face": figure(score, "gain_vs_sex_mean", "{:.1%}"),
                "skill": figure(score, "skill", "{:.2f}"),
                "within-sex skill": figure(score, "within_sex_skill", "{:.2f}"),
            }
        )
    table = pd.DataFrame(rows)
    return table.drop(columns=[c for c in table if (table[c] == "not defined").all()])


def evaluated():
    """Errors by ratio of the shipped methods, identity by identity."""
    found = shipped_predictions("phantom")
    methods = {
        "mean_face": found.mean_face, "sex_mean_face": found.sex_mean, "ceiling": found.ceiling,
        "supervised": found.predicted["supervised"],
        "shuffled_within_sex": found.predicted["shuffled_within_sex"],
    }  # fmt: skip
    errors = metrics.evaluate(
        methods, found.reference, load_face_model("phantom"), identities=found.identity,
        sex=found.sex, measures="are", definitions="corrected",
    )  # fmt: skip
    return errors, found


def table_of_groups(errors, found):
    """Error by sex, and by third of stature within a sex, which this phantom knows."""
    population = phantom.Population(**_world(found.card["world"]))
    stature = population.voices.set_index("identity").loc[found.identity, "stature_mm"].to_numpy()
    groups = {}
    for sex, word in (("f", "women"), ("m", "men")):
        here = found.sex == sex
        groups[word] = here
        band = pd.qcut(pd.Series(stature).where(here), 3, labels=["short", "middle", "tall"])
        for name in ("short", "middle", "tall"):
            groups[f"{word}, {name} third"] = (band == name).to_numpy()
    rows = []
    for name, here in groups.items():
        kept = errors[errors["identity"].isin(found.identity[here])]
        rows.append({"group": name, "people": int(here.sum())} | _errors_of(kept))
    return pd.DataFrame(rows)


def table_of_lines(errors):
    """Change against the sex-mean face by line."""
    summary = metrics.summarise(errors, baseline="sex_mean_face", by=["all"])
    rows = []
    for measure, part in summary.groupby("measure", sort=False):
        part = part.set_index("method")
        rows.append(
            {
                "measure": measure.removeprefix("are_").replace("mean", "mean of the four"),
                "sex-mean face": figure(part.loc["sex_mean_face"], "error", "{:.4f}"),
                "supervised": figure(part.loc["supervised"], "error", "{:.4f}"),
                "change": figure(part.loc["supervised"], "change_percent", "{:.1f} %"),
                "shuffled within sex (null)": figure(
                    part.loc["shuffled_within_sex"], "change_percent", "{:.1f} %"
                ),
                "ceiling": figure(part.loc["ceiling"], "change_percent", "{:.1f} %"),
            }
        )
    return pd.DataFrame(rows)


def _errors_of(errors):
    summary = metrics.summarise(errors, baseline="sex_mean_face", by=["all"])
    part = summary[summary["measure"] == "are_mean"].set_index("method")
    return {
        "mean face": figure(part.loc["mean_face"], "error", "{:.4f}"),
        "sex-mean face": figure(part.loc["sex_mean_face"], "error", "{:.4f}"),
        "supervised": figure(part.loc["supervised"], "error", "{:.4f}"),
        "change": figure(part.loc["supervised"], "change_percent", "{:.1f} %"),
        "shuffled within sex (null)": figure(
            part.loc["shuffled_within_sex"], "change_percent", "{:.1f} %"
        ),
    }


def _world(world):
    names = ("n_identities", "seed", "n_test", "coupling", "world", "law", "face_model")
    return {name: world[name] for name in names}


def figure(row, name, form):
    """A figure and its interval."""
    value = row[name]
    if value is None or pd.isna(value):
        return "not defined"
    ends = [row.get(f"{name}_ci_{end}") for end in ("low", "high")]
    texts = [form.format(one + 0.0) for one in (value, *ends)]
    return texts[0] if texts[1] == texts[2] == texts[0] else "{} ({} to {})".format(*texts)


def markdown(table):
    """Lay a table out for a page."""
    lines = [list(table.columns), ["---"] * len(table.columns), *table.to_numpy().tolist()]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def written(text):
    """Return the card with every table made anew."""
    places = {name: _place(text, name) for name in ("models", "scores", "null", "lines", "groups")}
    errors, found = evaluated()
    tables = {
        "models": table_of_models(), "scores": table_of_scores("phantom"),
        "null": table_of_scores("phantom_null"), "lines": table_of_lines(errors),
        "groups": table_of_groups(errors, found),
    }  # fmt: skip
    for name, old in places.items():
        begin, end = old.partition("\n")[0], "<!-- end of table -->"
        text = text.replace(old, f"{begin}\n{markdown(tables[name])}\n{end}")
    return text


def _place(text, name):
    found = re.findall(f"<!-- table: {name} -->\n.*?<!-- end of table -->", text, flags=re.DOTALL)
    if len(found) != 1:
        raise SystemExit(f"{CARD.name}: {len(found)} places for the table {name}, 1 is needed")
    return found[0]


def main(argv=None):
    """Write the card, or check it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--check", action="store_true", help="write nothing")
    options = parser.parse_args(argv)
    before = CARD.read_text("utf-8")
    after = written(before)
    if options.check:
        current = after == before
        print("the tables are current" if current else "run python tools/tabulate_model_card.py")
        return 0 if current else 1
    with atomic(CARD) as partial:
        partial.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
