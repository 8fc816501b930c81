"""The distillation losses against their papers' formulas in loops, and by finite differences."""

import distillation_literal as literal
import pytest
import torch

from v2mlib.fitting.distillation import LEARNED, METHODS, VARIANTS

NAMES = ("vanilla", "attention", "similarity", "correlation", "rkd", "crd", "vid", "pkt")
SAME_SHAPE = ("vanilla",)


def made(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def maps(name, *, batch=5, seed=0):
    """Features of student and teacher that the method takes, with different channels."""
    channels = 3 if name in SAME_SHAPE else 4
    return made(batch, 3, 2, 2, seed=seed), made(batch, channels, 2, 2, seed=seed + 1)


def build(name, student, teacher, **options):
    """The loss in double precision, in eval mode: its memory stays as it is."""
    torch.manual_seed(0)
    sizes = [f.flatten(1).shape[1] if name == "crd" else f.shape[1] for f in (student, teacher)]
    options |= {"n_samples": 9, "feature_size": 5} if name == "crd" else {}
    loss = METHODS[name](*sizes, **options).double().eval()
    if name == "crd":
        loss.log_partition.fill_(2.0)  # a constant, known after the first batch
    return loss


def call(name, student, teacher, **options):
    index = torch.arange(len(student)) + 2
    return build(name, student, teacher, **options)(student, teacher, index)


def test_the_methods_are_the_eight_of_table_5():
    assert tuple(METHODS) == NAMES
    for name in set(NAMES) - set(LEARNED):
        loss = METHODS[name]()  # no sizes needed
        assert not list(loss.parameters())


FORMULAS = {
    ("vanilla", "paper"): literal.vanilla,
    ("vanilla", "released"): lambda s, t: literal.softened(s, t, 4.0),
    ("attention", "paper"): literal.attention,
    ("attention", "released"): lambda s, t: literal.attention(s, t, released=True),
    ("similarity", "paper"): literal.similarity,
    ("similarity", "released"): literal.similarity,
    ("correlation", "paper"): literal.correlation,
    ("correlation", "released"): literal.neighbours,
    ("rkd", "paper"): literal.relational,
    ("rkd", "released"): lambda s, t: literal.relational(s, t, released=True),
    ("pkt", "paper"): literal.probabilistic,
    ("pkt", "released"): literal.probabilistic_released,
}


@pytest.mark.parametrize(("name", "variant"), FORMULAS)
def test_loss_is_the_formula_in_loops(name, variant):
    student, teacher = maps(name)
    if (name, variant) == ("correlation", "released"):
        teacher = made(5, 3, 2, 2, seed=1)
    expected = FORMULAS[name, variant](student.tolist(), teacher.tolist())
    assert call(name, student, teacher, variant=variant).item() == pytest.approx(expected, rel=1e-9)
    assert expected > 1e-4


@pytest.mark.parametrize("variant", VARIANTS)
def test_vid_is_the_formula_in_loops(variant):
    student, teacher = maps("vid")
    loss = build("vid", student, teacher, variant=variant)
    with torch.no_grad():
        loss.log_scale.copy_(torch.linspace(-1, 2, 4))
    weights = [p.squeeze(-1).tolist() for p in loss.regressor.parameters()]
    expected = literal.variational(
        student.tolist(), teacher.tolist(), weights, loss.log_scale.tolist(),
        released=variant == "released",
    )  # fmt: skip
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-9)


def test_vid_of_vectors_is_that_of_maps_of_one_position():
    student, teacher = made(5, 3, seed=1), made(5, 4, seed=2)
    loss = build("vid", student, teacher)
    of_maps = loss(student[..., None, None], teacher[..., None, None])
    torch.testing.assert_close(loss(student, teacher), of_maps)


@pytest.mark.parametrize("variant", VARIANTS)
def test_crd_is_the_formula_in_loops(variant):
    student, teacher = made(3, 3, seed=1), made(3, 4, seed=2)
    loss, index = build("crd", student, teacher, variant=variant), [7, 0, 4]
    projections = [
        (layer.weight.tolist(), layer.bias.tolist())
        for layer in (loss.student_projection, loss.teacher_projection)
    ]
    memories = [loss.student_memory.tolist(), loss.teacher_memory.tolist()]
    expected = literal.contrastive(
        student.tolist(), teacher.tolist(), index, projections, memories,
        released=variant == "released", log_partition=2.0,
    )  # fmt: skip
    assert loss(student, teacher, torch.tensor(index)).item() == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_those_of_finite_differences(name, variant):
    student, teacher = maps(name, batch=4)
    if (name, variant) == ("correlation", "released"):
        teacher = made(4, 3, 2, 2, seed=1)
    loss = build(name, student, teacher, variant=variant)
    parameters = tuple(loss.parameters())
    inputs = [t.detach().requires_grad_() for t in (student, teacher, *parameters)]

    def compare(student, teacher, *values):
        named = dict(zip(dict(loss.named_parameters()), values, strict=True))
        index = torch.arange(4)
        return torch.func.functional_call(loss, named, (student, teacher, index))

    assert torch.autograd.gradcheck(compare, inputs)


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("name", sorted(set(NAMES) - set(LEARNED)))
def test_a_perfect_student_has_no_loss_and_no_gradient(name, variant):
    teacher = made(5, 3, 2, 2)
    student = teacher.clone().requires_grad_()
    loss = call(name, student, teacher, variant=variant)
    loss.backward()
    assert abs(loss.item()) < 1e-12
    assert float(student.grad.abs().max()) < 1e-7


@pytest.mark.parametrize("kind", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("case", ["equal", "zero", "one zero", "all the same", "opposite", "two"])
@pytest.mark.parametrize("name", NAMES)
def test_gradients_are_finite_in_the_corners(name, case, kind):
    teacher = made(4, 3, 2, 2).to(kind)
    student = {
        "equal": teacher.clone(),
        "zero": torch.zeros_like(teacher),
        "one zero": teacher * torch.tensor([1.0, 0.0, 1.0, 1.0]).view(4, 1, 1, 1).to(kind),
        "all the same": teacher[:1].expand(4, -1, -1, -1).clone(),
        "opposite": teacher * torch.tensor([1.0, -1.0, 1.0, -1.0]).view(4, 1, 1, 1).to(kind),
        "two": -teacher,
    }[case]
    if case == "two":
        student, teacher = student[:2], teacher[:2]
    if case == "opposite":
        student = student.abs() * student.sign().mean((1, 2, 3), keepdim=True).sign()
    student.requires_grad_()
    loss = call(name, student, teacher)
    loss.backward()
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert torch.isfinite(student.grad).all()


def test_float64_stays_and_half_precision_is_widened():
    student, teacher = made(4, 3), made(4, 3, seed=1)
    for name in set(NAMES) - set(LEARNED):
        loss = METHODS[name]()
        assert loss(student, teacher).dtype == torch.float64
        assert loss(student.bfloat16(), teacher.bfloat16()).dtype == torch.float32
        with torch.autocast("cpu", torch.bfloat16):
            inside = loss(student.float(), teacher.float())
        torch.testing.assert_close(inside, loss(student.float(), teacher.float()))
