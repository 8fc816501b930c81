"""One step of the joint training: which losses, of what, and whom their gradients reach."""

import copy
import dataclasses

import joint_made
import photos_made
import pytest
import torch
from joint_made import CONFIG, EVERYTHING, with_lessons

from v2mlib.checks import InputError
from v2mlib.faces import load_face_model
from v2mlib.fitting import joint
from v2mlib.fitting.distillation import METHODS
from v2mlib.fitting.joint import JointTask
from v2mlib.fitting.joint_losses import LessonConfig, Lessons, LossWeights
from v2mlib.fitting.vertex_loss import pose_scale
from v2mlib.models.mobilenet_v2 import N_POSE


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    return photos_made.made_world_with_photos(
        tmp_path_factory.mktemp("world"), n_train=8, n_validation=3, n_test=3
    )


def ready(made, config=CONFIG, **changes):
    config = dataclasses.replace(config, **changes)
    given = joint_made.encoder().eval(), joint_made.teacher().eval().requires_grad_(False)
    task = JointTask(*made, *given, config, progress=False)
    for network in task.networks.values():
        network.eval()  # batch normalisation looks across samples
    # Fresh networks tell hardly anything apart: louder ones do.
    for parameter in task.networks["generator"].parameters():
        parameter.data.mul_(8.0)
    for module in task.networks["student"].modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.data.fill_(3.0)
    task.prepare(torch.device("cpu"))
    return task


def taught(task, **options):
    """The lessons' total on one batch, and the image that they are about."""
    voice = task.voices["train"].sample(0, 6, crop=task.config.crop, seed=0)
    torch.manual_seed(0)
    fakes, *partners = task.draw(voice.log_mel, *task.partners(0, voice))
    return voice, fakes, *task.teach(0, voice, fakes, partners, **options)


def reached(task, total):
    """Networks that a loss has a gradient for."""
    found = set()
    for name, network in task.networks.items():
        parameters = [p for p in network.parameters() if p.requires_grad]
        if parameters:
            gradients = torch.autograd.grad(total, parameters, retain_graph=True, allow_unused=True)
            if any(g is not None and g.any() for g in gradients):
                found.add(name)
    return found


def test_the_papers_losses_reach_generator_and_student_alone(made):
    task = ready(made)
    _, _, total, parts = taught(task)
    assert reached(task, total) == {"generator", "student"}
    assert set(parts) == {"coefficient_loss", "distillation_loss"}


def test_a_student_can_learn_without_changing_what_is_drawn(made):
    task = ready(made, with_lessons(to_generator=False, weights=EVERYTHING))
    assert reached(task, taught(task)[2]) == {"student"}


def test_the_teacher_is_a_truth_that_does_not_give_way(made):
    """Student's way alone by default; through the teacher, too, as an option."""
    gradients = {}
    for through in (False, True):
        task = ready(made, with_lessons(through_teacher=through))
        _, fakes, total, _ = taught(task)
        gradients[through] = torch.autograd.grad(total, fakes, retain_graph=True)[0]
        assert reached(task, total) == {"generator", "student"}
        assert all(p.grad is None for p in task.networks["teacher"].parameters())
    assert not torch.allclose(gradients[False], gradients[True])
    found = torch.autograd.grad(sum(plain_losses(task, fakes)), fakes)[0]
    # In single precision, sums that are added in another order differ a little.
    atol = 1e-6 * float(found.abs().max())
    torch.testing.assert_close(gradients[False], found, rtol=1e-3, atol=atol)
    assert (gradients[True] - found).abs().max() > 1e4 * atol


def plain_losses(task, fakes):
    """Eq. 3 and Eqs. 4-6 in loops."""
    images = torch.nn.functional.interpolate(fakes.clamp(-1, 1), (40, 40), mode="bilinear")
    student, teacher = task.networks["student"], task.networks["teacher"]
    said = [student(images), teacher(images.detach())]
    std = teacher.std[N_POSE:]
    outputs = divergence = 0
    for one, other in zip(
        *(torch.cat([s.shape, s.expression], 1) / std for s in said), strict=True
    ):
        outputs = outputs + sum((a - b) ** 2 for a, b in zip(one, other, strict=True)) / 6
    shares = []
    for features in (said[0].pooled, said[1].pooled):
        near = [[(torch.cosine_similarity(a, b, 0) + 1) / 2 for b in features] for a in features]
        shares.append([
            [near[i][j] / sum(near[i][k] for k in range(6) if k != i) for j in range(6)]
            for i in range(6)
        ])  # fmt: skip
    for i in range(6):
        for j in range(6):
            if i != j:
                own, wanted = shares[0][i][j], shares[1][i][j]
                divergence = divergence + wanted * (wanted / own).log()
    return outputs, divergence


def test_the_papers_losses_are_those_of_plain_loops(made):
    task = ready(made)
    _, fakes, total, parts = taught(task)
    outputs, divergence = plain_losses(task, fakes)
    torch.testing.assert_close(parts["coefficient_loss"], outputs, rtol=1e-4, atol=0)
    torch.testing.assert_close(parts["distillation_loss"], divergence, rtol=0.01, atol=0)
    assert divergence > 1e-5
    torch.testing.assert_close(total, sum(parts.values()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("scaled", [False, True])
def test_losses_on_meshes_are_those_of_full_meshes(made, scaled):
    weights = LossWeights(coefficients=0.0, distillation=0.0, vertices=0.5, triplet=1.5)
    model = load_face_model("phantom")
    networks = [joint_made.teacher().eval() for _ in range(2)]
    lessons = Lessons(
        LessonConfig(weights=weights, scaled_vertices=scaled), *networks, face_model=model
    )
    generator = torch.Generator().manual_seed(0)
    said = [
        networks[0](torch.randn(5, 3, 40, 40, generator=generator).clamp(-1, 1)) for _ in range(4)
    ]
    student, teacher, positive, negative = said
    everyone = torch.ones(5, dtype=torch.bool)
    total, parts = lessons(student, teacher, partners=(positive, negative, everyone))
    meshes = [
        model.decode(s.shape, s.expression) * (pose_scale(s.pose)[:, None, None] if scaled else 1)
        for s in said
    ]
    vertices = torch.nn.functional.mse_loss(meshes[0], meshes[1])
    rows = [meshes[k].transpose(1, 2) for k in (0, 2, 3)]
    triplet = torch.nn.TripletMarginLoss()(*rows)
    torch.testing.assert_close(parts["vertex_loss"], vertices, rtol=1e-3, atol=1e-6)
    torch.testing.assert_close(parts["triplet_loss"], triplet, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(total, 0.5 * vertices + 1.5 * triplet, rtol=1e-3, atol=1e-5)


def test_partners_are_other_utterances_and_other_speakers(made, monkeypatch):
    task, seen = ready(made, with_lessons(weights=EVERYTHING)), []
    draw = joint.draw_triplets

    def watched(*words, **options):
        seen.append(draw(*words, **options))
        return seen[-1]

    monkeypatch.setattr(joint, "draw_triplets", watched)
    one, other = (taught(task)[2] for _ in range(2))
    assert torch.equal(one, other)  # the seed decides
    whose = task.voices["train"].identity
    for drawn in seen:
        assert drawn.has_positive.all()
        assert not (drawn.positive == drawn.anchor).any()
        assert torch.equal(whose[drawn.positive], whose[drawn.anchor])
        assert not (whose[drawn.negative] == whose[drawn.anchor]).any()


def test_every_network_looks_once(made):
    task, looks = ready(made), []
    for name in ("teacher", "student"):
        network = task.networks[name]
        network.register_forward_hook(lambda _, given, __, name=name: looks.append(name))
    task.networks["critic"].embedder.register_forward_hook(lambda *_: looks.append("critic"))
    task.step(0, lambda loss, _: loss.backward(), (0, 1))
    assert sorted(looks) == ["critic", "critic", "student", "teacher"]


def test_photographs_can_tell_the_truth(made):
    task = ready(made, with_lessons(truth="photographs"))
    photos, teacher = task.photos["train"], task.networks["teacher"]
    for number in (0, 5):
        own = torch.nonzero(photos.identity == number)[:, 0]
        wanted = teacher(task.enlarge(photos.images(own))).shape.mean(0)
        torch.testing.assert_close(task.truth[0][number], wanted)
    voice, fakes, _, parts = taught(task)
    said = task.networks["student"](task.enlarge(fakes))
    gaps = [
        (got - task.truth[part][voice.identity]) / teacher.std[N_POSE:].split([40, 10])[part]
        for part, got in enumerate((said.shape, said.expression))
    ]
    wanted = torch.cat(gaps, 1).square().sum(1).mean()
    torch.testing.assert_close(parts["coefficient_loss"], wanted)


@pytest.mark.parametrize("method", METHODS)
def test_every_method_teaches_and_what_it_learns_is_trained(made, method):
    task = ready(made, with_lessons(distillation=method))
    _, _, total, parts = taught(task)
    assert total.isfinite()
    assert ("distillation_loss" in parts) == (method != "vanilla")
    trained = {id(p) for g in task.optimisers()["generator"].param_groups for p in g["params"]}
    learned = list(task.lessons.methods.parameters())
    assert ("lessons" in task.networks) == bool(learned) == (method in ("crd", "vid"))
    assert all(id(parameter) in trained for parameter in learned)
    assert reached(task, total) >= {"generator", "student"} | ({"lessons"} if learned else set())


def test_all_processes_features_are_compared(made):
    """Half the batch each, gathered, is the loss of the whole batch."""
    task = ready(made)
    with torch.no_grad():
        _, fakes, _, parts = taught(task)
        said = [task.networks[name](task.enlarge(fakes)) for name in ("student", "teacher")]
        halves = [type(s)(*(part[::2] for part in s)) for s in said]
        whole = {id(h): s for half, full in zip(halves, said, strict=True)
                 for h, s in zip(half, full, strict=True)}  # fmt: skip
        _, found = task.lessons(*halves, gather=lambda tensor: whole[id(tensor)])
    wanted = parts["distillation_loss"]
    torch.testing.assert_close(found["distillation_loss"], wanted, rtol=0.01, atol=0)


def test_a_teacher_of_other_coefficients_has_no_mesh():
    networks = [joint_made.teacher().eval() for _ in range(2)]
    small = load_face_model("phantom").truncated(39)
    with pytest.raises(InputError, match=r"a teacher of 40 \+ 10 coefficients does not fit"):
        Lessons(LessonConfig(weights=EVERYTHING), *networks, face_model=small)


def test_networks_given_are_copied_nowhere(made):
    """The student starts with the teacher's mean and spread, and weights of its own."""
    teacher = joint_made.teacher()
    student = joint.student_of(copy.deepcopy(teacher), 0.25)
    assert torch.equal(student.mean, teacher.mean)
    assert torch.equal(student.std, teacher.std)
    assert student.settings["network"] == "mobilenet_v2"
    assert student.settings["image_size"] == teacher.settings["image_size"]


def test_learning_rates_fall_to_nothing_if_asked_to(made):
    assert {ready(made).rate(step) for step in (0, 3)} == {1.0}
    rates = [ready(made, decay=True).rate(step) for step in range(4)]
    assert rates[0] == 1.0
    assert rates == sorted(rates, reverse=True)
    assert 0 < rates[-1] < 0.2
