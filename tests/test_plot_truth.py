"""Pictures of fitted truth: drawn where the photograph shows the face, and drawable anywhere."""

import numpy as np
import pandas as pd
import pytest

from v2mlib import plot_truth
from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.fitting.truth import reference_faces
from v2mlib.fitting.truth_views import project_views
from v2mlib.phantom import Population
from v2mlib.phantom.photos import Photographer
from v2mlib.plot_pictures import png_bytes


def test_the_fitted_face_lies_over_the_photographed_one():
    model = load_face_model("phantom")
    people, camera = np.array(Population(3, seed=4).shape_coefficients), Photographer(model, 4)
    taken = [camera.take(people[0], 0, number) for number in range(3)]
    landmarks = np.array([photo.landmarks for photo in taken])
    faces = reference_faces(pd.DataFrame({"identity": [0] * 3}), landmarks, model)
    view = type(faces.views)(*(part[:1] for part in faces.views))
    vertices = model.decode(faces.shape_coefficients[0], view.expression[0])
    fitted = project_views(vertices[model.landmarks][None], view)[0]
    assert np.abs(fitted - landmarks[0]).max() < 1.5  # pixels
    row = plot_truth.over_photo(
        taken[0].image, vertices, model.triangles, rotation=view.rotation[0], scale=view.scale[0],
        translation=view.translation[0], inverse_distance=view.inverse_distance[0],
        colours=model.colours, found=landmarks[0], fitted=fitted, height=256,
    )  # fmt: skip
    assert row.size == (3 * 256 + 2 * 6, 256)
    photo, _, overlay = (np.asarray(row, float)[:, k * 262 : k * 262 + 256] for k in range(3))
    drawn = np.abs(photo - overlay).max(-1) > 3
    true = model.decode(people[0], taken[0].plan.expression).numpy().astype(float)
    seen = project_views(true[None], view)[0]  # the true face in the fitted view
    inside = ((seen + 0.5) * 2 - 0.5).round().astype(int)
    inside = inside[((inside >= 0) & (inside < 256)).all(1)]
    assert drawn[inside[:, 1], inside[:, 0]].mean() > 0.9
    columns = np.flatnonzero(drawn.any(0))
    assert abs(columns.min() - inside[:, 0].min()) <= 6
    assert abs(columns.max() - inside[:, 0].max()) <= 6


def test_charts_are_drawn_and_say_what_is_missing():
    photos = pd.DataFrame(
        {"residual_relative": [0.02, 0.03, 0.09, np.nan], "rule": ["", "", "residual", "blur"]}
    )
    figure = plot_truth.residuals(photos, n_bins=5)
    assert [trace.name for trace in figure.data] == ["used", "rejected: residual"]
    assert sum(trace.y.sum() for trace in figure.data) == 3
    errors = pd.DataFrame({"line": ["ear"] * 2, "n_photos": [1, 8], "error": [2.0, 1.0]})
    lines = plot_truth.error_by_photos(errors, references={"mean face": 3.0})
    assert list(lines.data[0].x) == ["1", "8"]
    shares = pd.DataFrame(
        {"line": ["ear", "ear"], "kind": ["a", "b"], "value": [0.9, 0.8], "ci_low": [0.8, np.nan],
         "ci_high": [0.95, np.nan]}
    )  # fmt: skip
    points = plot_truth.agreement(shares)
    assert points.data[0].error_x.array[0] == pytest.approx(0.05)
    assert points.data[1].error_x.array[0] == 0
    for chart in (figure, lines, points):
        assert png_bytes(chart)[:4] == b"\x89PNG"
    for draw in (plot_truth.residuals, plot_truth.error_by_photos, plot_truth.agreement):
        with pytest.raises(InputError, match="lacks"):
            draw(pd.DataFrame({"x": [1]}))
