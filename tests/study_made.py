"""Small studies about balls, built by the tests that need them."""

import numpy as np
import trimesh
from faces_made import small_model

from v2mlib.metrics.face_rows import FaceRows
from v2mlib.study import Participation, StudyPlan, build_study

PLAN = StudyPlan(n_items=3, n_attention=1, picture_px=64, frames=3, seed=5)


def ball_model():
    """A ball with five ways to change its shape."""
    ball = trimesh.creation.icosphere(2, 90.0)
    fields = {"mean": ball.vertices, "triangles": ball.faces}
    return small_model(len(ball.vertices), **fields)


def people(n=12, seed=0):
    """Predictions of two methods and the reference, as rows; ours has two utterances each."""
    random = np.random.default_rng(seed)
    names = np.array([f"id{k:02d}" for k in range(n)])
    reference = random.normal(size=(n, 5)) * 3
    ours = np.repeat(reference, 2, axis=0) + np.tile([[0.5], [-0.5]], (n, 1))
    others = random.normal(size=(n, 5)) * 3
    predictions = {"ours": FaceRows(np.repeat(names, 2), ours), "others": FaceRows(names, others)}
    return predictions, FaceRows(names, reference)


def small_study(folder, *, plan=PLAN, **options):
    """Build a study about balls."""
    predictions, reference = people()
    return build_study(
        folder, predictions, reference, model=ball_model(), plan=plan, progress=False, **options
    )


def answer_all(study, code, side="first"):
    """Answer every question of a study on the same side."""
    taking = Participation(study, code)
    taking.agree()
    while taking.current:
        taking.answer(side)
    return taking
