"""The published training loops, operation by operation, in our own words: what ours is beside.

What they do and ours does not: the face embedder runs anew for every question asked of an image
and apart for photographs and drawings; nothing is frozen for the gradients, so that they are
worked out for the voice encoder, for the critic in the generator's turn and for the teacher, and
thrown away; both networks enlarge the drawn image for themselves; losses on meshes are taken
over all vertices of decoded meshes; memory has the channels first, and optimisers go parameter
by parameter. Losses, batches and random numbers are ours.
"""

from typing import NamedTuple

import torch
from torch import nn

from v2mlib.datasets.triplets import draw_triplets
from v2mlib.models.mobilenet_v1 import whiten
from v2mlib.models.voice_encoder import EMBEDDING_SIZE


def supervised_step(task, networks, optimisers, number):
    """Regress coefficients on a batch of voices (Eq. 2)."""
    batch = task.batch(number)
    shape, expression = (part[batch.identity] for part in task.targets["train"])
    found = networks["heads"](embed(networks["encoder"], batch.log_mel))
    loss = nn.functional.mse_loss(found[0], shape, reduction="none").sum(1)
    loss = loss + nn.functional.mse_loss(found[1], expression, reduction="none").sum(1)
    loss = loss.mean() / shape.shape[1]
    optimisers["all"].zero_grad()
    loss.backward()
    optimisers["all"].step()
    return {"loss": loss}


def embed(encoder, log_mel):
    """Embed voices, layer by layer as the network is written down."""
    return nn.functional.normalize(encoder.layers(log_mel.transpose(1, 2)).mean(2))


class Random(NamedTuple):
    """Random numbers of a step, in the order in which ours draws them."""

    offsets: list
    noise: torch.Tensor


def random_numbers(batch_size, n_voices):
    """Draw what decides about crops of further voices, and the noise on all of them."""
    offsets = [torch.rand(batch_size) for _ in range(n_voices - 1)]
    return Random(offsets, torch.randn(n_voices, batch_size, EMBEDDING_SIZE))


def draw(networks, log_mel, noise):
    """Draw faces for voices, the encoder's gradients included."""
    embedding = embed(networks["encoder"], log_mel)
    return networks["generator"](nn.functional.normalize(embedding + noise))


def critic_turn(critic, photo, fakes, optimiser):
    """Teach the critic: three passes of the embedder, two of them over the same photographs."""
    embed, ask, who = critic.embedder, critic.discriminator, critic.classifier
    real = torch.sigmoid(ask(embed(photo.images)))
    fake = torch.sigmoid(ask(embed(fakes.detach())))
    label = nn.functional.log_softmax(who(embed(photo.images)), dim=1)
    losses = {
        "critic_real_loss": nn.functional.binary_cross_entropy(real, torch.ones_like(real)),
        "critic_fake_loss": nn.functional.binary_cross_entropy(fake, torch.zeros_like(fake)),
        "critic_identity_loss": nn.functional.nll_loss(label, photo.identity),
    }
    optimiser.zero_grad()
    sum(losses.values()).backward()
    optimiser.step()
    return losses


def generator_losses(critic, fakes, identity):
    """Judge drawings: a pass of the embedder for each question, the critic's weights learning."""
    embed, ask, who = critic.embedder, critic.discriminator, critic.classifier
    real = torch.sigmoid(ask(embed(fakes)))
    label = nn.functional.log_softmax(who(embed(fakes)), dim=1)
    return {
        "generator_real_loss": nn.functional.binary_cross_entropy(real, torch.ones_like(real)),
        "generator_identity_loss": nn.functional.nll_loss(label, identity),
    }


def gan_step(task, networks, optimisers, number, teach=None):
    """Critic against generator on a batch of voices and one of photographs."""
    config = task.config
    options = {"seed": config.engine.seed}
    voice = task.voices["train"].sample(number, config.batch_size, crop=config.crop, **options)
    photo = task.photos["train"].sample(number, config.batch_size, flip=config.flip, **options)
    random = random_numbers(config.batch_size, 3 if teach else 1)
    fakes = draw(networks, voice.log_mel, config.noise * random.noise[0])
    losses = critic_turn(networks["critic"], photo, fakes, optimisers["critic"])
    pleased = generator_losses(networks["critic"], fakes, voice.identity)
    total = sum(pleased.values())
    taught, lessons = teach(task, networks, number, voice, fakes, random) if teach else (0.0, {})
    optimisers["generator"].zero_grad()
    (total + taught).backward()
    optimisers["generator"].step()
    return losses | pleased | lessons


def joint_step(task, networks, optimisers, number):
    """The GAN's step with what the released code adds: vertices, neighbours twice, triplets."""
    return gan_step(task, networks, optimisers, number, teach=lessons)


def lessons(task, networks, number, voice, fakes, random):
    """What the student is taught, through the teacher, too."""
    weights, model = task.joint.lessons.weights, task.face_model
    wanted = look(networks["teacher"], fakes)
    found = look(networks["student"], fakes)
    parts = {
        "distillation_loss": sum(
            neighbours(getattr(found, name), getattr(wanted, name)) for name in ("pooled", "map")
        ),
        "vertex_loss": nn.functional.mse_loss(mesh(model, found), mesh(model, wanted)),
        "triplet_loss": triplet(task, networks, number, voice, found, random),
    }
    names = {"distillation_loss": "distillation", "vertex_loss": "vertices"}
    total = sum(getattr(weights, names.get(name, "triplet")) * loss for name, loss in parts.items())
    return total, parts


def look(network, fakes):
    """Enlarge drawn images and let a network say what it sees."""
    size = network.settings["image_size"]
    images = nn.functional.interpolate(
        fakes.clamp(-1, 1), (size, size), mode="bilinear", align_corners=True
    )
    said = network.network.features(whiten(127.5 * (images + 1)))
    parameters = said.outputs * network.std + network.mean
    return Said(*parameters.split((12, network.settings["n_shape"],
                                   network.settings["n_expression"]), 1),
                said.pooled, said.map)  # fmt: skip


class Said:
    """What a network says of images."""

    def __init__(self, pose, shape, expression, pooled, maps):
        self.pose, self.shape, self.expression = pose, shape, expression
        self.pooled, self.map = pooled, maps


def mesh(model, said):
    """Decode whole meshes, in the scale of the pose: (batch, vertex, xyz)."""
    size = (-1, model.n_vertices, 3)
    shape = (said.shape * model.shape_std) @ model.shape_basis.flatten(0, 1).T
    expression = (said.expression * model.expression_std) @ model.expression_basis.flatten(0, 1).T
    vertices = model.mean + shape.view(size) + expression.view(size)
    rows = said.pose.view(-1, 3, 4)[:, :2, :3]
    return vertices * rows.norm(dim=2).mean(1)[:, None, None]


def neighbours(student, teacher):
    """Divergence of the probabilities of neighbours, as the released code has it."""
    given = []
    for features in (student, teacher):
        unit = nn.functional.normalize(features.flatten(1))
        kernel = (unit @ unit.T + 1) / 2
        given.append(kernel / kernel.sum(1, keepdim=True))
    student, teacher = given
    return (student * (student / teacher).log()).mean()


def triplet(task, networks, number, voice, found, random):
    """Margin between meshes of the same speaker and of others, per row of coordinates."""
    drawn = draw_triplets(task.voices["train"], voice, step=number, seed=task.config.engine.seed)
    meshes = [mesh(task.face_model, found)]
    further = zip((drawn.positive, drawn.negative), random.offsets, random.noise[1:], strict=True)
    for clips, offset, noise in further:
        log_mel = task.voices["train"].crops(clips, voice.log_mel.shape[1], offset)
        fakes = draw(networks, log_mel, task.config.noise * noise)
        meshes.append(mesh(task.face_model, look(networks["student"], fakes)))
    margin = nn.TripletMarginLoss(margin=task.joint.lessons.triplet_margin)
    return margin(*(vertices.transpose(1, 2) for vertices in meshes))
