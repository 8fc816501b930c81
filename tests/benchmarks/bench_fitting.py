"""Fits to landmarks beside `eos`, on the same model, landmarks, prior and number of iterations.

The Surrey face model in both: eos' own model object is built from the public arrays, 63 shape
modes and 6 expressions, 50 landmarks, no contours, 5 iterations. eos fits one face per call and
makes the whole mesh too; ours are timed in one call of 512 faces, and one by one. Residuals of
both are in ``tools/results/prove_landmark_fitting.json``. Without the data or eos: no rows.
"""

import atexit
import os
import sys
import tempfile
from pathlib import Path

import numpy as np
from harness import Row

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))
from eos_peer import EQUAL_EXPRESSION_PRIOR, EQUAL_NOISE_PX, N_ITERATIONS, EosPeer

from v2mlib.faces import load_face_model
from v2mlib.fitting.landmarks import FitConfig, fit_landmarks

REPOSITORY = Path(__file__).resolve().parents[2]
DATA = Path(os.environ.get("V2M_REAL_DATA", REPOSITORY.parent / "shared" / "data"))
SURREY = DATA / "surrey_sfm_noncommercial" / "sfm_3448.npz"
AFLW = DATA / "faces_aflw2000" / "aflw2000_landmarks.npz"
N_FACES = 512


def rows():
    """Rows on 512 faces in one call, the same with standard errors, and one face per call."""
    if not (SURREY.is_file() and AFLW.is_file()):
        return
    folder = tempfile.TemporaryDirectory()
    atexit.register(folder.cleanup)
    try:
        peer = EosPeer(SURREY, Path(folder.name))
    except ImportError:
        return
    with np.load(AFLW, allow_pickle=False) as file:
        landmarks = file["pts68_3d"][:N_FACES, :2].transpose(0, 2, 1).astype(np.float64)
    model = load_face_model(SURREY)
    theirs = peer.landmarks(landmarks)
    settings = {
        "noise": EQUAL_NOISE_PX,
        "expression_prior": EQUAL_EXPRESSION_PRIOR,
        "max_iterations": N_ITERATIONS,
    }
    plain = FitConfig(uncertainty=False, **settings)
    sure = FitConfig(**settings)

    def eos_fits(count=N_FACES):
        return [peer.fit(face) for face in theirs[:count]]

    yield Row(
        "fit landmarks, 5 iterations, batch of 512",
        lambda: fit_landmarks(landmarks, model, config=plain),
        eos_fits,
        "eos",
        N_FACES,
        "faces",
    )
    yield Row(
        "the same, with standard errors",
        lambda: fit_landmarks(landmarks, model, config=sure),
        eos_fits,
        "eos (gives none)",
        N_FACES,
        "faces",
    )
    yield Row(
        "fit landmarks, 5 iterations, one by one",
        lambda: [fit_landmarks(face[None], model, config=plain) for face in landmarks[:16]],
        lambda: eos_fits(16),
        "eos",
        16,
        "faces",
    )
