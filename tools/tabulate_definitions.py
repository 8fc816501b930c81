"""Measure what the published line definitions do on real face models; store the figures.

    python tools/tabulate_definitions.py

Writes `data/line_definitions.json`: lengths and asymmetries of the five lines on the mean faces of
BFM and ICT-FaceKit, and what the definition does to each ratio error on sampled ICT faces. Needs
the real face models (V2M_REAL_DATA); the notebooks quote the figures where those are absent.
"""

import json
import os
import sys
from pathlib import Path

import torch

import v2mlib
from v2mlib.faces import load_face_model
from v2mlib.faces.readers.slices import read_slice
from v2mlib.files import atomic
from v2mlib.metrics.definitions import definition_effect, line_table

_REPOSITORY = Path(__file__).resolve().parents[1]
N_FACES, SEED = 2000, 1


def rounded(table):
    """Rows of a table as plain values, to a micrometre."""
    return json.loads(table.round(4).to_json(orient="records"))


def main():
    """Measure and store."""
    folder = Path(os.environ.get("V2M_REAL_DATA", _REPOSITORY.parent / "shared" / "data"))
    basel = folder / "bfm_derived_noncommercial" / "bfm_mean_topology.npz"
    ict = load_face_model(folder / "ict_facekit" / "ict_face_f32.npz")
    shape = torch.randn(N_FACES, ict.n_shape, generator=torch.Generator().manual_seed(SEED))
    effect = definition_effect(ict.mean, ict.decode(shape), ict)
    found = {
        "made_by": "tools/tabulate_definitions.py",
        "version": v2mlib.__version__,
        "lines": {
            "bfm-53215": rounded(line_table(read_slice(basel))),
            "bfm-38365": rounded(line_table(read_slice(basel, topology="bfm-38365"))),
            "ict-9409": rounded(line_table(ict)),
        },
        "effect": {"ict-9409": {"n_faces": N_FACES, "seed": SEED, "lines": rounded(effect)}},
    }
    out = _REPOSITORY / "data" / "line_definitions.json"
    with atomic(out) as partial:
        partial.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(out)
    return 0


if __name__ == "__main__":
    sys.exit(main())
