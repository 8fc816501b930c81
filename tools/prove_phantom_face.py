"""No fold and no crossing on the phantom face: 1,000 people, every mode, every expression.

Writes tools/results/prove_phantom_face.json; about two minutes on one core.
"""

import json
from pathlib import Path

import numpy as np
import torch

from v2mlib.faces.phantom import EXPRESSIONS, phantom_model, soundness
from v2mlib.files import atomic, sha256
from v2mlib.paths import shipped

RESULT = Path(__file__).with_name("results") / "prove_phantom_face.json"
N_PEOPLE, SEED, MODE_SD = 1000, 0, 2.0
EXPRESSION_LEVELS = (0.25, 0.5, 0.75, 1.0)


def main():
    """Check and write the result.

    Returns
    -------
    int
        Exit code: 0 if every face is sound.
    """
    model = phantom_model()
    triangles = model.triangles.numpy()
    mesh = soundness.edges(triangles)

    def count(shape, expression=None):
        vertices = model.decode(shape, expression).double().numpy()
        found = soundness.folds(vertices, triangles)
        crossed = soundness.crossings(vertices, triangles, mesh)
        return np.array([len(found), len(crossed)])

    people = torch.randn(N_PEOPLE, model.n_shape, generator=torch.Generator().manual_seed(SEED))
    neutral = torch.zeros(model.n_shape)
    full = 1 / model.expression_std
    groups = {
        "people": [count(shape) for shape in people],
        "modes": [
            count(sign * MODE_SD * torch.eye(model.n_shape)[number])
            for number in range(model.n_shape)
            for sign in (-1, 1)
        ],
        "expressions": [
            count(neutral, level * full * torch.eye(len(EXPRESSIONS))[number])
            for number in range(len(EXPRESSIONS))
            for level in EXPRESSION_LEVELS
        ],
    }
    result = {
        "artefact_sha256": sha256(shipped("phantom_face.npz")),
        "seed": SEED,
        "mode_sd": MODE_SD,
        "expression_levels": EXPRESSION_LEVELS,
        "manifold": mesh.worst == 2 and mesh.opposed,
    }
    for name, counts in groups.items():
        counts = np.array(counts)
        result[name] = {
            "faces": len(counts),
            "with_folds": int((counts[:, 0] > 0).sum()),
            "with_crossings": int((counts[:, 1] > 0).sum()),
        }
    with atomic(RESULT) as partial:
        partial.write_text(json.dumps(result, indent=1) + "\n")
    print(json.dumps(result, indent=1))
    bad = sum(result[name][key] for name in groups for key in ("with_folds", "with_crossings"))
    return int(bad > 0 or not result["manifold"])


if __name__ == "__main__":
    raise SystemExit(main())
