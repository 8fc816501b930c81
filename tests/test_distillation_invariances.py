"""What the distillation losses do not see, how low they can go, and what they refuse."""

import math

import pytest
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation import METHODS

ROTATION = torch.linalg.qr(
    torch.randn(6, 6, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
).Q


def made(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


STUDENT, TEACHER = made(5, 6, seed=1), made(5, 6, seed=2)
SCALES = torch.tensor([0.1, 2.0, 3.0, 0.5, 7.0], dtype=torch.float64)[:, None]
CHANGES = {
    "scaled": lambda x: 3.7 * x,
    "turned": lambda x: x @ ROTATION,
    "moved": lambda x: x + 1.5,
    "each sample scaled": lambda x: x * SCALES,
    "samples dealt": lambda x: x[torch.tensor([2, 0, 1, 4, 3])],
}
SEEN = {  # what changes the loss when it is done to the student alone
    "vanilla": {"scaled", "turned", "moved", "each sample scaled", "samples dealt"},
    "similarity": {"moved", "each sample scaled", "samples dealt"},
    "correlation": {"moved", "samples dealt"},
    "rkd": {"each sample scaled", "samples dealt"},
    "pkt": {"moved", "samples dealt"},
}


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", SEEN)
def test_losses_see_what_they_should_and_nothing_else(name, change):
    loss = METHODS[name]()
    before, after = loss(STUDENT, TEACHER), loss(CHANGES[change](STUDENT), TEACHER)
    same = bool((before - after).abs() < 1e-10 * before)
    assert same == (change not in SEEN[name])


@pytest.mark.parametrize("name", [*SEEN, "attention"])
def test_the_order_of_the_batch_does_not_count(name):
    loss, dealt = METHODS[name](), CHANGES["samples dealt"]
    torch.testing.assert_close(loss(dealt(STUDENT), dealt(TEACHER)), loss(STUDENT, TEACHER))


def test_attention_sees_neither_channels_order_nor_sign_nor_scale():
    student, teacher, loss = made(4, 6, 3, 3), made(4, 2, 3, 3, seed=1), METHODS["attention"]()
    expected = loss(student, teacher)
    signs = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0]).view(6, 1, 1)
    for same in (
        student[:, torch.randperm(6)],
        student * signs,
        student * SCALES[:4, :, None, None],
    ):
        torch.testing.assert_close(loss(same, teacher), expected)
    turned = loss(student.mT, teacher)
    assert abs(turned - expected) > 1e-3  # positions do count


def test_only_the_features_directions_count_for_maps_as_for_vectors():
    for name in ("similarity", "correlation", "rkd", "pkt"):
        loss = METHODS[name]()
        of_maps = loss(STUDENT.view(5, 2, 3, 1), TEACHER.view(5, 3, 1, 2))
        torch.testing.assert_close(of_maps, loss(STUDENT, TEACHER))


def test_a_better_student_has_a_smaller_loss():
    for name in [*SEEN, "attention"]:
        loss = METHODS[name]()
        near, far = (loss(TEACHER + x * STUDENT, TEACHER) for x in (0.01, 0.1))
        assert 0 < near < far


def test_vid_is_lowest_when_the_regressor_finds_the_teacher():
    loss = METHODS["vid"](4, 4).double()
    teacher = made(6, 4, 2, 2).abs()  # rectifiers let it pass
    with torch.no_grad():
        for weight in loss.regressor.parameters():
            weight.copy_(torch.eye(4)[..., None])
    floor = loss.variance.sqrt().log().sum()
    torch.testing.assert_close(loss(teacher, teacher), floor)
    assert loss(teacher + 0.1, teacher) > floor
    torch.testing.assert_close(loss.variance, torch.full((4,), 5.0, dtype=torch.float64))


def test_crd_is_lowest_when_pairs_agree_and_others_are_opposite():
    loss = METHODS["crd"](2, 2, n_samples=2, feature_size=2).double().eval()
    with torch.no_grad():
        for layer in (loss.student_projection, loss.teacher_projection):
            layer.weight.copy_(torch.eye(2))
            layer.bias.zero_()
        features = torch.tensor([[1.0, 0.0], [-1.0, 0.0]], dtype=torch.float64)
        loss.student_memory.copy_(features)
        loss.teacher_memory.copy_(features)
    sharp = 1 / 0.07
    h = [math.exp(c * sharp) / (math.exp(c * sharp) + 0.5) for c in (1, -1)]
    lowest = -2 * (math.log(h[0]) + math.log(1 - h[1]))
    found = loss(features, features, torch.tensor([0, 1])).item()
    assert found == pytest.approx(lowest, rel=1e-6)
    assert loss(-features, features, torch.tensor([0, 1])).item() > 10


def test_learned_losses_fall_as_they_learn():
    for name, lowest in (("crd", 1.0), ("vid", 2.0)):
        torch.manual_seed(0)
        loss = METHODS[name](6, 6).double()
        optimiser = torch.optim.Adam(loss.parameters(), lr=0.02)
        index, losses = torch.arange(5), []
        for _ in range(200):
            value = loss(STUDENT, STUDENT.flip(1), index)
            optimiser.zero_grad()
            value.backward()
            optimiser.step()
            losses.append(value.item())
        assert losses[-1] < losses[0] - lowest


@pytest.mark.parametrize("name", ["similarity", "correlation", "rkd", "pkt"])
def test_losses_between_samples_refuse_a_batch_of_one(name):
    with pytest.raises(InputError, match=r"a batch of 1 has too few samples .* batches of 2"):
        METHODS[name]()(STUDENT[:1], TEACHER[:1])


def test_a_batch_of_one_is_enough_for_the_others():
    for name in ("vanilla", "attention", "vid"):
        assert torch.isfinite(METHODS[name](6, 6).double()(STUDENT[:1], TEACHER[:1]))
    alone = METHODS["crd"](6, 6)
    with pytest.raises(InputError, match="knows no other sample yet"):
        alone(STUDENT[:1], TEACHER[:1], torch.tensor([0]))
    assert torch.isfinite(alone(STUDENT[:1], TEACHER[:1], torch.tensor([1])))


@pytest.mark.parametrize(
    ("name", "student", "teacher", "message"),
    [
        ("rkd", (4, 6), (5, 6), r"student_features \(4, 6\), teacher_features \(5, 6\).*one row"),
        ("pkt", (4,), (4,), "at least two axes"),
        ("vanilla", (4, 6), (4, 5), "the same shape"),
        ("attention", (4, 2, 3, 3), (4, 2, 2, 2), r"positions \(3, 3\) .* and \(2, 2\)"),
        ("vid", (4, 5), (4, 6), "expected 6 and 6 channels"),
        ("vid", (4, 6, 2, 2), (4, 6, 3, 3), "at the same positions"),
        ("crd", (4, 5), (4, 6), r"student_features \(4, 5\), expected 6 values"),
    ],
)
def test_shapes_that_do_not_go_together_are_refused(name, student, teacher, message):
    with pytest.raises(ShapeError, match=message):
        METHODS[name](6, 6)(torch.zeros(student), torch.zeros(teacher), torch.arange(4))


@pytest.mark.parametrize(
    ("name", "options", "message"),
    [
        ("pkt", {"variant": "code"}, "variant 'code' is unknown"),
        ("vanilla", {"temperature": 0.0}, "not positive"),
        ("attention", {"power": 0.5}, "below 1"),
        ("correlation", {"order": 0}, "order=0"),
        ("crd", {"student_size": None}, "needs? the sizes"),
        ("vid", {"teacher_size": None}, "needs? the sizes"),
        ("vid", {"variance": 0.0}, "too small"),
        ("vid", {"teacher_size": 0}, "teacher_size=0 is too few"),
        ("crd", {"n_samples": 1}, "no other samples"),
        ("crd", {"n_negatives": 0}, "cannot be"),
        ("crd", {"momentum": 1.0}, "not in"),
    ],
)
def test_impossible_settings_are_refused(name, options, message):
    with pytest.raises(InputError, match=message):
        METHODS[name](**{"student_size": 6, "teacher_size": 6} | options)
