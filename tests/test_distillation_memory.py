"""The memory of contrastive distillation: what it keeps, how it grows, how it is saved."""

import pytest
import torch

from v2mlib.checks import InputError, ShapeError
from v2mlib.fitting.distillation import METHODS


def made(n, seed=0):
    return torch.randn(n, 6, generator=torch.Generator().manual_seed(seed))


def build(**options):
    torch.manual_seed(0)
    return METHODS["crd"](6, 6, **options)


def projected(loss, features):
    with torch.no_grad():
        return torch.nn.functional.normalize(loss.student_projection(features))


def test_a_seen_sample_moves_half_way_and_no_other_does():
    loss, features = build(n_samples=10), made(2)
    before = loss.student_memory.clone()
    loss(features, features, torch.tensor([7, 2]))
    half = torch.nn.functional.normalize(before[[7, 2]] + projected(loss, features))
    torch.testing.assert_close(loss.student_memory[[7, 2]], half)
    rest = [0, 1, 3, 4, 5, 6, 8, 9]
    assert torch.equal(loss.student_memory[rest], before[rest])


def test_a_sample_that_is_twice_in_the_batch_counts_with_its_mean():
    loss, features = build(n_samples=4, momentum=0.0), made(2)
    loss(features, features, torch.tensor([1, 1]))
    mean = torch.nn.functional.normalize(projected(loss, features).mean(0), dim=0)
    torch.testing.assert_close(loss.student_memory[1], mean)


def test_looking_without_training_changes_nothing():
    loss, features = build(n_samples=4).eval(), made(2)
    before = {name: value.clone() for name, value in loss.state_dict().items()}
    loss(features, features, torch.tensor([0, 1]))
    for name, value in loss.state_dict().items():
        assert torch.equal(value, before[name]) or value.isnan().all()


def test_the_memory_grows_with_the_largest_index():
    loss = build()
    loss(made(3), made(3, 1), torch.tensor([0, 4, 2]))
    assert loss.student_memory.shape == loss.teacher_memory.shape == (5, 128)
    kept = loss.student_memory[:5].clone()
    loss.eval()(made(2), made(2, 1), torch.tensor([8, 1]))
    assert len(loss.student_memory) == 9
    assert torch.equal(loss.student_memory[:5], kept)
    torch.testing.assert_close(loss.student_memory.norm(dim=1), torch.ones(9))


@pytest.mark.parametrize("options", [{}, {"n_samples": 9}])
def test_a_stopped_training_goes_on_to_the_same_losses(options):
    def step(loss, number):
        index = torch.tensor([number, number + 4])
        return loss(made(2, number), made(2, number + 50), index).item()

    loss = build(variant="released", **options)
    for number in range(3):
        step(loss, number)
    torch.manual_seed(99)
    other = METHODS["crd"](6, 6, variant="released", **options)
    other.load_state_dict(loss.state_dict())
    assert [step(loss, n) for n in range(3, 5)] == [step(other, n) for n in range(3, 5)]


def test_drawn_negatives_are_never_the_sample_itself():
    loss = build(n_samples=20, n_negatives=8)
    index = torch.arange(20)
    drawn = torch.stack([loss._negatives(index) for _ in range(50)], 1).view(20, -1)
    assert (drawn != index[:, None]).all()
    assert all(len(row.unique()) == 19 for row in drawn)  # and every other one at times


def test_few_drawn_negatives_estimate_the_loss_of_all():
    whole, features, index = build(n_samples=400, n_negatives=399).eval(), made(4), torch.arange(4)
    some = build(n_samples=400, n_negatives=100).eval()
    some.load_state_dict(whole.state_dict())
    softplus = torch.nn.functional.softplus
    with torch.no_grad():
        values = torch.stack([some(features, made(4, 1), index) for _ in range(200)])
        student, teacher = projected(some, features), some.teacher_projection(made(4, 1))
        teacher = torch.nn.functional.normalize(teacher)
        threshold, exact = torch.tensor(100 / 400).log(), 0.0
        for a, b, memory in (
            (student, teacher, some.teacher_memory),
            (teacher, student, some.student_memory),
        ):
            alike = a @ memory.T / 0.07
            others = ~torch.eye(4, 400, dtype=torch.bool)
            each = (softplus(alike - threshold) * others).sum(1) * 100 / 399
            exact += (softplus(threshold - (a * b).sum(1) / 0.07) + each).mean()
    assert abs(values.mean() - exact) < 4 * values.std() / 200**0.5


def test_an_index_is_needed_and_checked():
    loss, features = build(n_samples=4), made(2)
    with pytest.raises(InputError, match="needs index"):
        loss(features, features)
    for bad in (torch.tensor([0, 4]), torch.tensor([-1, 0])):
        with pytest.raises(InputError, match="not within the memory of 4 samples"):
            loss(features, features, bad)
    for bad in (torch.tensor([0.0, 1.0]), torch.tensor([0, 1, 2])):
        with pytest.raises(ShapeError, match=r"expected \(batch=2,\) whole numbers"):
            loss(features, features, bad)


def test_maps_are_taken_whole_or_averaged_over_their_positions():
    loss, index = build(n_samples=4).eval(), torch.tensor([0, 1])
    maps = made(4).view(2, 6, 1, 2)
    torch.testing.assert_close(
        loss(maps, maps, index), loss(maps.mean((2, 3)), maps.mean((2, 3)), index)
    )
