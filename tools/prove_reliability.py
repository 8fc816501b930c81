"""How good is fitted truth? On phantom people, whose faces are known; writes a JSON of results.

    python tools/prove_reliability.py

1. Reliability: split-half ICC of every named line for 2, 4 and 8 photographs a person, beside
   validity (squared correlation with the true lengths) and the shares that the posterior claims.
2. Error and calibration for 1, 2, 4 and 8 photographs.
3. Planted faults (another person's landmarks, noise, mirrored): found, and false alarms.

4. The first two again with landmarks that MediaPipe finds in the rendered photographs.

In 1 to 3 landmarks are the true projections with independent noise of 2 % of the face's size.
A detector errs alike in all photographs, too, and that no number of photographs cures: 4, with
and without learning its offsets.
"""

import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from v2mlib.faces import load_face_model
from v2mlib.files import atomic
from v2mlib.fitting.truth import TruthConfig, line_measures, reference_faces
from v2mlib.fitting.truth_lines import measure_lines
from v2mlib.phantom import Population
from v2mlib.phantom.photos import Photographer
from v2mlib.stats import split_half

RESULTS = Path(__file__).with_name("results") / "prove_reliability.json"
NUMBERS = (1, 2, 4, 8)


def photograph(n_people, noise, seed):
    """Known people, the table of their photographs, and landmarks with noise."""
    model = load_face_model("phantom")
    people = np.array(Population(n_people, seed=seed).shape_coefficients)
    camera, rng = Photographer(model, seed), np.random.default_rng(seed)
    landmarks = np.array(
        [
            camera.landmarks(face, camera.plan(row, number))
            for row, face in enumerate(people)
            for number in range(NUMBERS[-1])
        ]
    )
    landmarks += noise * face_sizes(landmarks)[:, None, None] * rng.standard_normal(landmarks.shape)
    photos = pd.DataFrame(
        {
            "identity": np.repeat([f"id{row:05}" for row in range(n_people)], NUMBERS[-1]),
            "photo": np.tile(range(NUMBERS[-1]), n_people),
        }
    )
    return model, people, photos, landmarks


def face_sizes(landmarks):
    """Square roots of the areas of the boxes around landmarks, pixels."""
    return np.sqrt((landmarks.max(1) - landmarks.min(1)).prod(-1))


def prove_reliability(model, people, photos, landmarks, config=None):
    """A row per line and number of photographs."""
    true = measure_lines(people, model)
    mean_face = measure_lines(np.zeros((1, model.n_shape)), model).iloc[0]
    rows, overall = [], []
    for n_photos in NUMBERS:
        kept = (photos["photo"] < n_photos).to_numpy()
        faces = reference_faces(photos[kept], landmarks[kept], model, config=config)
        usable = faces.identities["usable"].to_numpy()
        lines = faces.lines.assign(true=true[usable].to_numpy().ravel())
        z = (lines["value"] - lines["true"]) / lines["sd"]
        overall.append(_overall(model, faces, people, usable, lines, z, n_photos))
        halves = None
        if n_photos > 1:
            used = faces.photos.loc[faces.photos["used"], "identity"]
            halves = split_half(used, line_measures(faces, landmarks[kept], model), n_splits=10)
            halves = halves.set_index("measure")
        for (line, measure), found in lines.assign(z=z).groupby(["line", "measure"], sort=False):
            row = {
                "line": line, "measure": measure, "n_photos": n_photos,
                "error": (found["value"] - found["true"]).abs().mean(),
                "error_of_mean_face": (true[line, measure] - mean_face[line, measure]).abs().mean(),
                "stated_sd": np.sqrt((found["sd"] ** 2).mean()),
                "z_rms": np.sqrt((found["z"] ** 2).mean()),
                "determined": found["determined"].mean(),
                "r_squared_with_truth": np.corrcoef(found["value"], found["true"])[0, 1] ** 2,
            }  # fmt: skip
            if halves is not None:
                columns = [
                    "icc",
                    "icc_ci_low",
                    "icc_ci_high",
                    "spearman_brown",
                    "ci_low",
                    "ci_high",
                ]
                row |= halves.loc[f"{line}_{measure}", columns].to_dict()
            rows.append(row)
    return rows, overall


def _ratio_error(values, lines):
    """Mean absolute ratio error over the four ratios and all people."""
    return float((values - lines["true"])[lines["measure"] == "ratio"].abs().mean())


def _of_mean_face(lines, model):
    mean_face = measure_lines(np.zeros((1, model.n_shape)), model).iloc[0]
    return [mean_face[key] for key in zip(lines["line"], lines["measure"], strict=True)]


def _overall(model, faces, people, usable, lines, z, n_photos):
    gap = model.decode(faces.shape_coefficients[usable]) - model.decode(people[usable])
    far = model.mean - model.decode(people[usable])
    return {
        "n_photos": n_photos,
        "vertex_error_mm": float(gap.norm(dim=-1).mean()),
        "vertex_error_of_mean_face_mm": float(far.norm(dim=-1).mean()),
        "noise_relative": faces.noise_relative,
        "noise_constant_share": faces.noise_constant_share,
        "mean_are": _ratio_error(lines["value"], lines),
        "mean_are_of_mean_face": _ratio_error(_of_mean_face(lines, model), lines),
        "z_rms": float(np.sqrt((z**2).mean())),
        "within_1_96": float((z.abs() < 1.96).mean()),
        "determined": float(faces.identities.loc[usable, "determined"].mean()),
        "false_alarms": int((~faces.photos["used"]).sum()),
        "n_people": int(usable.sum()),
        "n_lines": len(lines),
    }


def prove_rejection(noise, n_people, seed):
    """A fault in one of four photographs of half of the people: how many are found."""
    model, _, photos, landmarks = photograph(n_people, noise, seed)
    kept = (photos["photo"] < 4).to_numpy()
    photos, landmarks = photos[kept].reset_index(drop=True), landmarks[kept]
    rng, clean, size = np.random.default_rng(seed), landmarks.copy(), face_sizes(landmarks)
    fault = np.full(len(photos), "", dtype=object)
    for place, person in enumerate(rng.permutation(n_people)[: n_people // 2]):
        row = 4 * person + rng.integers(4)
        fault[row] = kind = ("another_person", "noise_6_percent", "mirrored")[place % 3]
        if kind == "another_person":
            other = (person + rng.integers(1, n_people)) % n_people
            landmarks[row] = clean[4 * other + rng.integers(4)]
        elif kind == "noise_6_percent":
            landmarks[row] += 0.06 * size[row] * rng.standard_normal((68, 2))
        else:
            landmarks[row] *= [-1, 1]
    used = reference_faces(photos, landmarks, model).photos["used"].to_numpy()
    found = {
        kind: f"{(~used[fault == kind]).sum()}/{(fault == kind).sum()}"
        for kind in set(fault) - {""}
    }
    return {
        "noise": noise,
        **dict(sorted(found.items())),
        "false_alarms": f"{(~used[fault == '']).sum()}/{(fault == '').sum()}",
    }


def prove_detector(n_people, seed):
    """Reliability and truth of faces whose landmarks MediaPipe found in rendered photographs."""
    from v2mlib.photos import load_engine

    model = load_face_model("phantom")
    people = np.array(Population(n_people, seed=seed).shape_coefficients)
    camera, engine, rows, found, true = (
        Photographer(model, seed),
        load_engine("mediapipe"),
        [],
        [],
        [],
    )
    for row, face in enumerate(people):
        for number in range(NUMBERS[-1]):
            photo = camera.take(face, row, number)
            seen = engine.detect([np.asarray(photo.image)])[0]
            rows.append({"identity": f"id{row:05}", "photo": number})
            found.append(np.full((68, 2), np.nan) if seen is None else seen.points[:, :2])
            true.append(photo.landmarks)
    photos, found, true = pd.DataFrame(rows), np.array(found), np.array(true)
    off = (found - true) / face_sizes(true)[:, None, None]
    learnt, overall = prove_reliability(model, people, photos, found)
    never = TruthConfig(calibrate_from=10**9)
    trusting, trusting_overall = prove_reliability(model, people, photos, found, never)
    landmarks = {
        "not_found": int(np.isnan(found).all((1, 2)).sum()),
        "rms_relative": float(np.sqrt(np.nanmean(off**2))),
        "rms_relative_same_in_all": float(np.sqrt((np.nanmean(off, axis=0) ** 2).mean())),
        "rms_relative_jaw": float(np.sqrt(np.nanmean(off[:, :17] ** 2))),
    }
    return {
        "n_people": n_people, "landmarks": landmarks, "overall": overall, "lines": learnt,
        "overall_without_offsets": trusting_overall, "lines_without_offsets": trusting,
    }  # fmt: skip


def main():
    """Run the proofs, print tables, store the JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--people", type=int, default=120)
    parser.add_argument("--noise", type=float, default=0.02)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rows, overall = prove_reliability(*photograph(options.people, options.noise, options.seed))
    rejection = [
        prove_rejection(noise, options.people, options.seed + 1)
        for noise in (0.005, 0.01, 0.02, 0.03)
    ]
    detector = prove_detector(options.people, options.seed + 2)
    result = {
        "settings": vars(options), "overall": overall, "rejection": rejection, "lines": rows,
        "mediapipe": detector,
    }  # fmt: skip
    with atomic(RESULTS) as partial:
        partial.write_text(json.dumps(_rounded(result), indent=1) + "\n", encoding="utf-8")
    for name, part in {"noise": result, "MediaPipe": detector}.items():
        _show(name, part["lines"], part["overall"])
    print(pd.DataFrame(detector["overall_without_offsets"]).round(3).to_string())
    print(detector["landmarks"], pd.DataFrame(rejection).to_string(), sep="\n\n")
    return 0


def _show(name, lines, overall):
    table = pd.DataFrame(lines)
    for value in ("icc", "spearman_brown", "r_squared_with_truth", "determined", "error", "z_rms"):
        shown = table.pivot_table(
            index=["measure", "line"], columns="n_photos", values=value, sort=False
        )
        print(f"\n{name}: {value}", shown.round(3).to_string(), sep="\n")
    print("", pd.DataFrame(overall).round(3).to_string(), sep="\n")


def _rounded(value):
    if isinstance(value, dict):
        return {key: _rounded(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_rounded(item) for item in value]
    return float(f"{value:.4g}") if isinstance(value, float) else value


if __name__ == "__main__":
    sys.exit(main())
