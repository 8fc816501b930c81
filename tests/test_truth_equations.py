"""The equations behind reference faces: derivatives, information, likelihood ratios."""

import numpy as np
import pytest
import torch
from faces_made import small_model
from scipy.stats import multivariate_normal

from v2mlib.fitting.truth_information import linearise
from v2mlib.fitting.truth_people import (
    find_strangers,
    log_ratio_same_person,
    posterior,
    surprise,
)
from v2mlib.fitting.truth_views import (
    INVERSE_DISTANCE,
    Views,
    jacobians,
    landmark_bases,
    place,
    residuals,
)


def made_photographs(n_photos, axes=2, seed=0):
    """Random views of one random face of a small model, with noise of one pixel."""
    model, rng = small_model(seed=seed), np.random.default_rng(seed)
    bases = landmark_bases(model)
    turns = torch.linalg.qr(torch.as_tensor(rng.normal(size=(n_photos, 3, 3))))[0].numpy()
    turns = turns * np.sign(np.linalg.det(turns))[:, None, None]
    views = Views(
        0.3 * rng.standard_normal((n_photos, 3)), turns, rng.uniform(1, 2, n_photos),
        rng.normal(size=(n_photos, axes)), np.full(n_photos, 1 / 900 if axes == 2 else 0.0),
    )  # fmt: skip
    face = 0.3 * rng.standard_normal((1, 5)).repeat(n_photos, 0)
    points = -residuals(np.zeros((n_photos, 68, axes)), views, face, bases)
    return model, bases, views, face, points + rng.standard_normal(points.shape)


@pytest.mark.parametrize("axes", [2, 3])
def test_derivatives_are_those_of_small_steps(axes):
    from scipy.spatial.transform import Rotation

    _, bases, views, face, points = made_photographs(2, axes)
    by_shape, by_nuisance, _ = jacobians(points, views, face, bases)
    step = 1e-6

    def change(moved_views, moved_face):
        before = residuals(points, views, face, bases)
        return (before - residuals(points, moved_views, moved_face, bases)) / step

    for k in range(5):
        np.testing.assert_allclose(
            by_shape[..., k], change(views, face + step * np.eye(5)[k]), atol=2e-4
        )
    turns = [Rotation.from_rotvec(step * axis).as_matrix() @ views.rotation for axis in np.eye(3)]
    turns = [views._replace(rotation=turned) for turned in turns]
    moved = [views._replace(expression=views.expression + step * np.eye(3)[k]) for k in range(3)]
    moved += [*turns, views._replace(scale=views.scale + step)]
    moved += [
        views._replace(translation=views.translation + step * np.eye(axes)[k]) for k in range(axes)
    ]
    for k, other in enumerate(moved):
        np.testing.assert_allclose(by_nuisance[..., k], change(other, face), atol=2e-3)
    if axes == 2:
        small = views._replace(inverse_distance=views.inverse_distance + step * 1e-3)
        np.testing.assert_allclose(
            by_nuisance[..., -1], 1e3 * change(small, face), rtol=1e-3, atol=1
        )


def test_information_is_that_of_one_large_least_squares_problem():
    """All photographs' nuisances and the shape solved together, literally."""
    _, bases, views, face, points = made_photographs(3)
    noise = np.array([1.0, 2.0, 0.5])
    points[1, 5] = np.nan
    info = linearise(points, views, face, bases, noise)
    total, score = posterior(info.precision, info.score, np.zeros(3, int), 1)
    gaps = residuals(points, views, face, bases)
    by_shape, by_nuisance, _ = jacobians(points, views, face, bases)
    n = by_nuisance.shape[-1]
    rows, right = [np.eye(5, 5 + 3 * n)], [np.zeros(5)]
    for p in range(3):
        block = np.zeros((136, 5 + 3 * n))
        block[:, :5] = by_shape[p].reshape(136, 5)
        block[:, 5 + p * n : 5 + (p + 1) * n] = by_nuisance[p].reshape(136, n)
        kept = ~np.isnan(gaps[p].ravel())
        rows.append(block[kept] / noise[p])
        target = gaps[p].ravel() + block[:, :5] @ face[p]
        right.append(target[kept] / noise[p])
        priors = np.zeros((4, 5 + 3 * n))  # of expression, at 0, and inverse distance
        priors[range(3), 5 + p * n + np.arange(3)] = 1.0
        priors[3, 5 + (p + 1) * n - 1] = 1 / INVERSE_DISTANCE[1]
        rows.append(priors)
        off = (INVERSE_DISTANCE[0] - views.inverse_distance[p]) / INVERSE_DISTANCE[1]
        right.append(np.r_[-views.expression[p], off])
    stacked, wanted = np.concatenate(rows), np.concatenate(right)
    normal = stacked.T @ stacked
    best = np.linalg.solve(normal, stacked.T @ wanted)
    np.testing.assert_allclose(np.linalg.solve(total[0], score[0]), best[:5], atol=1e-8)
    np.testing.assert_allclose(np.linalg.inv(total[0]), np.linalg.inv(normal)[:5, :5], rtol=1e-6)


def test_parameters_that_data_settle_are_counted():
    _, bases, views, face, points = made_photographs(2)
    sharp = linearise(points, views, face, bases, np.full(2, 1e-4)).n_effective
    blind = linearise(points, views, face, bases, np.full(2, 1e4)).n_effective
    np.testing.assert_allclose(sharp, 5 + 3 + 3 + 1 + 2 + 1, atol=0.01)
    np.testing.assert_allclose(blind, 3 + 1 + 2, atol=0.05)  # pose has no prior


def test_scale_and_translation_are_least_squares():
    _, bases, views, face, points = made_photographs(2)
    points[0, :20] = np.nan
    placed = place(points, views._replace(scale=np.ones(2)), face, bases)
    flat = -residuals(np.zeros_like(points), placed._replace(
        scale=np.ones(2), translation=np.zeros((2, 2))), face, bases)  # fmt: skip
    for p in range(2):
        kept = ~np.isnan(points[p, :, 0])
        side = np.zeros((kept.sum(), 2, 3))
        side[..., 0], side[:, 0, 1], side[:, 1, 2] = flat[p, kept], 1, 1
        best = np.linalg.lstsq(side.reshape(-1, 3), points[p, kept].ravel())[0]
        np.testing.assert_allclose(np.r_[placed.scale[p], placed.translation[p]], best, rtol=1e-9)


def test_the_likelihood_ratio_is_that_of_the_photographs_themselves():
    rng = np.random.default_rng(1)
    views = [rng.standard_normal((9, 4)) for _ in range(3)]  # y = view @ c + noise
    seen = [view @ rng.standard_normal(4) + rng.standard_normal(9) for view in views]
    precision = np.stack([view.T @ view for view in views])
    score = np.stack([view.T @ y for view, y in zip(views, seen, strict=True)])
    ratio = log_ratio_same_person(precision, score, np.zeros(3, int), 1)

    def log_density(which):
        stacked = np.concatenate([views[k] for k in which])
        covariance = stacked @ stacked.T + np.eye(len(stacked))
        y = np.concatenate([seen[k] for k in which])
        return multivariate_normal(cov=covariance).logpdf(y)

    for k in range(3):
        rest = [other for other in range(3) if other != k]
        literal = log_density([k, *rest]) - log_density([k]) - log_density(rest)
        assert ratio[k] == pytest.approx(literal, abs=1e-9)


def test_noise_that_photographs_share_is_not_averaged_away():
    """Against the literal joint covariance of equal photographs with a common error."""
    view = np.random.default_rng(6).standard_normal((9, 4))
    n, share, y = 3, 0.4, np.random.default_rng(7).standard_normal((3, 9))
    precision, score = np.tile(view.T @ view, (n, 1, 1)), y @ view
    total, summed = posterior(precision, score, np.zeros(n, int), 1, share)
    noise = np.kron(np.eye(n) * (1 - share) + share, np.eye(9))
    stacked, inverse = np.tile(view, (n, 1)), np.linalg.inv(noise)
    literal = np.eye(4) + stacked.T @ inverse @ stacked
    np.testing.assert_allclose(total[0], literal, atol=1e-9)
    np.testing.assert_allclose(summed[0], stacked.T @ inverse @ y.ravel(), atol=1e-9)


def test_surprise_is_one_for_people_of_the_population():
    rng = np.random.default_rng(9)
    roots = rng.standard_normal((600, 12, 6))
    precision = roots.transpose(0, 2, 1) @ roots
    people = rng.standard_normal((600, 6))
    error = np.einsum("pri,pr->pi", roots, rng.standard_normal((600, 12)))
    score = np.einsum("pij,pj->pi", precision, people) + error
    assert surprise(precision, score) == pytest.approx(1, abs=0.15)
    wrong = np.einsum("pij,j->pi", precision, np.full(6, 2.0))  # the same error in everyone
    assert surprise(precision, score + wrong) > 3


def test_strangers_go_one_by_one_and_the_rest_is_judged_again():
    rng = np.random.default_rng(2)
    person, stranger = rng.standard_normal((2, 6))
    precision = np.tile(400 * np.eye(6), (5, 1, 1))
    score = 400 * np.stack([person, person, stranger, person, -stranger])
    score = score + 20 * rng.standard_normal(score.shape)
    found, odds = find_strangers(precision, score, np.zeros(5, int), 1, 0.01)
    assert found.tolist() == [False, False, True, False, True]
    assert (odds[found] < 0).all()
    assert (odds[~found] > np.log(99)).all()
    alone = find_strangers(precision[:1], score[:1], np.zeros(1, int), 1, 0.01)
    assert not alone[0].any()
    assert np.isnan(alone[1]).all()
    assert not find_strangers(precision, score, np.zeros(5, int), 1, 0.0)[0].any()
