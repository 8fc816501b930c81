"""How far off each landmark engine is: on photographs with fitted truth, on rendered phantoms.

``python tools/prove_landmark_engines.py [--photos N]`` writes
``tools/results/prove_landmark_engines.json``. Real photographs and the teacher's weights come from
``V2M_REAL_DATA`` (by default ``../shared/data``); engines that are not installed are named and
left out.

Two things make the figures kinder than life. MediaPipe's table of points was chosen with
rendered phantom faces and some of these photographs in view; and the truth of AFLW2000-3D comes
from the teacher's own face model.
"""

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.phantom.photos import PhotoConfig, Photographer
from v2mlib.photos import LANDMARK_PARTS, landmark_error, load_engine, read_photo

RESULTS = Path(__file__).resolve().with_name("results") / "prove_landmark_engines.json"
SIZES = (64, 128, 256)  # pixels


def main(argv=None):
    """Measure, print and write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--photos", type=int, default=200, help="rendered faces per size")
    options = parser.parse_args(argv)
    data = Path(os.environ.get("V2M_REAL_DATA", RESULTS.parents[3] / "shared" / "data"))
    results = {}
    for name in ("mediapipe", "teacher", "fan"):
        try:
            engine = load_engine(
                name, **({"weights": data / "tddfa_v2"} if name == "teacher" else {})
            )
        except InputError as error:
            print(f"{name} left out: {error}")
            continue
        results[name] = {
            f"phantom_{size}_px": phantom(engine, size, options.photos) for size in SIZES
        }
        if (data / "faces_aflw2000").is_dir():
            results[name]["aflw2000"] = aflw2000(engine, data / "faces_aflw2000")
        print(name, json.dumps(results[name], indent=1))
    RESULTS.write_text(json.dumps(results, indent=1) + "\n")


def phantom(engine, size, n_photos):
    """Rate and error on rendered photographs of as many people."""
    model, rng = load_face_model("phantom"), np.random.default_rng(0)
    photographer = Photographer(model, 0, PhotoConfig(size=size))
    taken = [
        photographer.take(rng.standard_normal(model.n_shape), row, 0) for row in range(n_photos)
    ]
    images = [np.asarray(photo.image) for photo in taken]
    engine.detect(images[:1])
    began = time.perf_counter()
    found = engine.detect(images)
    rate = len(images) / (time.perf_counter() - began)
    return summary(found, [p.landmarks for p in taken]) | {"photos_per_s": round(rate, 1)}


def aflw2000(engine, folder):
    """Rate and error on real photographs with fitted truth."""
    paths = sorted(folder.glob("*.jpg"))
    truth = [face.points for face in load_engine("files").detect(paths)]
    return summary(engine.detect([read_photo(path) for path in paths]), truth)


def summary(found, truth):
    """Share of faces found, and their errors as a share of the face's size."""
    pairs = [(face.points[:, :2], t[:, :2]) for face, t in zip(found, truth, strict=True) if face]
    errors = np.array([landmark_error(*pair) for pair in pairs])
    shown = {"photos": len(truth), "found": round(len(pairs) / len(truth), 4)}
    if pairs:
        shown |= {
            "error_mean": round(float(errors.mean()), 5),
            "error_median": round(float(np.median(errors)), 5),
            "error_95": round(float(np.quantile(errors, 0.95)), 5),
        }
        predicted, true = (np.stack(side) for side in zip(*pairs, strict=True))
        box = np.nanmax(true, 1) - np.nanmin(true, 1)
        miss = np.linalg.norm(predicted - true, axis=-1) / np.sqrt(box.prod(1))[:, None]
        shown["by_part"] = {
            part: round(float(np.nanmean(miss[:, where])), 5)
            for part, where in LANDMARK_PARTS.items()
        }
    return shown


if __name__ == "__main__":
    main()
