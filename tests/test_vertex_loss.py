"""Losses over all vertices through Gram matrices: value and gradient of the full meshes."""

import pytest
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.faces import load_face_model
from v2mlib.fitting.vertex_loss import MeshTripletLoss, VertexLoss, pose_scale

#: Relative; of values and gradients.
CLOSE = {torch.float64: 1e-9, torch.float32: 2e-4}


@pytest.fixture(scope="module", params=CLOSE, ids=str)
def model(request):
    return load_face_model("phantom").to(dtype=request.param)


def faces(model, *, seed, n=5, spread=1.0):
    """Coefficients that want a gradient, with a scale each."""
    generator = torch.Generator().manual_seed(seed)
    sizes = ((n, model.n_shape), (n, model.n_expression), (n,))
    drawn = [spread * torch.randn(size, generator=generator, dtype=torch.float64) for size in sizes]
    drawn[2] = 0.5 + drawn[2].abs()
    return [part.to(model.mean.dtype).requires_grad_() for part in drawn]


def mesh(model, face, scaled):
    shape, expression, scale = face
    return model.decode(shape, expression) * (scale[:, None, None] if scaled else 1.0)


def assert_same(found, wanted, inputs, dtype):
    """Same value, and the same gradient with respect to every input."""
    close = CLOSE[dtype]
    torch.testing.assert_close(found, wanted, rtol=close, atol=0)
    given = {"allow_unused": True, "materialize_grads": True}
    for one, other in zip(
        torch.autograd.grad(found, inputs, **given),
        torch.autograd.grad(wanted, inputs, **given),
        strict=True,
    ):
        size = float(other.abs().max())
        torch.testing.assert_close(one, other, rtol=0, atol=close * max(size, 1e-30))


@pytest.mark.parametrize("scaled", [False, True])
def test_the_vertex_loss_is_that_of_the_full_mesh(model, scaled):
    one, other = faces(model, seed=0), faces(model, seed=1)
    scales = {"predicted_scale": one[2], "reference_scale": other[2]} if scaled else {}
    found = VertexLoss(model)(one[:2], other[:2], **scales)
    wanted = (mesh(model, one, scaled) - mesh(model, other, scaled)).square().sum(2).mean()
    assert_same(found, wanted, [*one, *other], model.mean.dtype)
    # The released loss is the mean over coordinates.
    plain = torch.nn.functional.mse_loss(mesh(model, one, scaled), mesh(model, other, scaled))
    torch.testing.assert_close(found / 3, plain, rtol=CLOSE[model.mean.dtype], atol=0)


def test_faces_that_hardly_differ_are_not_rounded_away(model):
    one, loss = faces(model, seed=0), VertexLoss(model)
    near = [part.detach().clone() for part in one]
    near[0][:, 7] += 1e-3
    assert not loss(one[:2], one[:2]).any()
    apart = (1e-3 * model.shape_std[7] * model.shape_basis[:, :, 7]).square().sum(1).mean()
    torch.testing.assert_close(loss(one[:2], near[:2]).detach(), apart, rtol=1e-3, atol=0)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("margin", [1.0, 2000.0])
def test_the_triplet_loss_is_torchs_on_the_full_mesh(model, scaled, margin):
    three = [faces(model, seed=seed, n=7, spread=0.4) for seed in (3, 4, 5)]
    scales = [face[2] for face in three] if scaled else None
    loss = MeshTripletLoss(model, margin=margin)
    found = loss(*(face[:2] for face in three), scales=scales)
    rows = [mesh(model, face, scaled).transpose(1, 2) for face in three]  # (batch, xyz, vertex)
    wanted = torch.nn.TripletMarginLoss(margin=margin)(*rows)
    inputs = [part for face in three for part in face]
    assert wanted > 0
    assert_same(found, wanted, inputs, model.mean.dtype)


def test_anchors_without_a_positive_do_not_count(model):
    three = [faces(model, seed=seed, n=6)[:2] for seed in (3, 4, 5)]
    loss = MeshTripletLoss(model, margin=1000.0)
    kept = torch.tensor([True, False, True, True, False, False])
    found = loss(*three, has_positive=kept)
    wanted = loss(*([part[kept] for part in face] for face in three))
    torch.testing.assert_close(found, wanted)
    assert not loss(*three, has_positive=torch.zeros(6, dtype=torch.bool)).any()


def test_a_face_beside_itself_has_a_finite_gradient(model):
    face, other = faces(model, seed=0), faces(model, seed=1)
    loss = MeshTripletLoss(model, margin=1000.0)(face[:2], face[:2], other[:2])
    gradients = torch.autograd.grad(loss, face[:2])
    assert all(torch.isfinite(gradient).all() for gradient in gradients)


def test_coefficients_of_another_model_are_refused(model):
    one, loss = faces(model, seed=0), VertexLoss(model)
    with pytest.raises(ShapeError, match="expression coefficients"):
        loss(one[:2], (one[0], one[1][:, 1:]))
    with pytest.raises(InputError, match="margin=0 is not positive"):
        MeshTripletLoss(model, margin=0)


def test_the_scale_of_a_pose_is_that_of_its_rotation():
    turn = torch.linalg.qr(torch.randn(3, 3, generator=torch.Generator().manual_seed(0)))[0]
    pose = torch.cat([3.5 * turn, torch.full((3, 1), 40.0)], 1).flatten()[None]
    torch.testing.assert_close(pose_scale(pose), torch.tensor([3.5]))
