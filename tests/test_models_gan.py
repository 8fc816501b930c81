"""Networks that draw and judge images: counts by hand, released names, where gradients go."""

import itertools
import json

import pytest
import torch
from torch import nn

from v2mlib.checks import InputError, ShapeError
from v2mlib.models import Generator, VoiceEncoder
from v2mlib.models.discriminator import Critic, FaceEmbedder, judge_without_learning
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.mobilenet_v2 import MobileNetV2, released_student_state
from v2mlib.models.voice_to_image import VoiceToImage

TINY = (4, 6, 8, 8, 8)


def count(network):
    return sum(parameter.numel() for parameter in network.parameters())


def seeded(network_type, *args, **options):
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return network_type(*args, **options)


def images(n=3, size=64):
    return torch.rand(n, 3, size, size, generator=torch.Generator().manual_seed(1)) * 2 - 1


def test_parameter_counts_of_the_critic_agree_with_a_hand_computation():
    widths = [32, 64, 128, 256, 512, 64]
    embedder = 3 * 32 + 32 + sum(16 * a * b + b for a, b in itertools.pairwise(widths))
    assert count(FaceEmbedder()) == embedder == 3_310_720
    assert count(Critic(924)) == embedder + 64 + 64 * 924


def test_the_embedder_halves_the_image_four_times():
    sizes, maps = [], images(1)
    for layer in FaceEmbedder(TINY).layers:
        maps = layer(maps)
        if isinstance(layer, nn.Conv2d):
            sizes.append(tuple(maps.shape[1:]))
        else:
            assert layer.negative_slope == 0.2
    assert sizes == [(4, 64, 64), (6, 32, 32), (8, 16, 16), (8, 8, 8), (8, 4, 4), (64, 1, 1)]


def test_images_of_another_size_are_refused():
    with pytest.raises(ShapeError, match=r"images has shape \(1, 3, 32, 32\)"):
        FaceEmbedder(TINY)(images(1, 32))
    with pytest.raises(InputError, match="n_identities=0"):
        Critic(0)


def test_judging_without_learning_reaches_the_images_and_not_the_critic():
    critic, one, other = seeded(Critic, 5, TINY), images(), images()
    one.requires_grad_(True)
    other.requires_grad_(True)

    def loss(verdict):
        return verdict.real.sum() + verdict.identity.square().sum()

    verdict = judge_without_learning(critic, one)
    loss(verdict).backward()
    assert all(p.grad is None for p in critic.parameters())
    assert all(p.requires_grad for p in critic.parameters())
    loss(critic(other)).backward()
    assert torch.equal(one.grad, other.grad)
    assert one.grad.abs().max() > 0
    assert torch.equal(verdict.identity, critic(one).identity)


def test_parameter_counts_of_mobilenet_v2_agree_with_its_table():
    total, before = 3 * 9 * 32 + 64, 32
    for widening, after, blocks in (
        (1, 16, 1), (6, 24, 2), (6, 32, 3), (6, 64, 4), (6, 96, 3), (6, 160, 3), (6, 320, 1)
    ):  # fmt: skip
        for _ in range(blocks):
            inside = before * widening
            widen = before * inside + 2 * inside if widening > 1 else 0
            total += widen + 9 * inside + 2 * inside + inside * after + 2 * after
            before = after
    total += 320 * 1280 + 2 * 1280
    assert total == 2_223_872
    assert count(MobileNetV2()) == total + 1281 * 62
    assert count(MobileNetV2(n_pose=0)) == total + 1281 * 50


def test_mobilenet_v2_gives_what_distillation_compares():
    network = seeded(MobileNetV2, width=0.25).eval()
    found = network.features(images(2, 120))
    assert found.outputs.shape == (2, 62)
    assert found.pooled.shape == (2, 1280)
    assert found.map.shape == (2, 16, 8, 8)
    torch.testing.assert_close(network(images(2, 120)), found.outputs)
    parts = [network.heads[name](found.pooled) for name in ("pose", "shape", "expression")]
    torch.testing.assert_close(torch.cat(parts, 1), found.outputs)


def test_the_map_is_of_the_first_nine_layers():
    network, maps = seeded(MobileNetV2, width=0.25).eval(), images(1, 120)
    for layer in list(network.layers)[:9]:
        maps = layer(maps)
    assert torch.equal(network.features(images(1, 120)).map, maps)


def test_blocks_that_keep_size_and_width_add_their_input():
    network = seeded(MobileNetV2).eval()
    adds = []
    for block in list(network.layers)[1:-1]:
        n_channels = next(block.parameters()).shape[0 if len(block.conv) == 3 else 1]
        maps = torch.rand(1, n_channels, 8, 8)
        block.conv[-1].weight.data.zero_()  # what the block works out is 0 now
        adds.append(torch.equal(block(maps), maps))
    assert [i + 1 for i, does in enumerate(adds) if does] == [3, 5, 6, 8, 9, 10, 12, 13, 15, 16]


def test_the_released_student_loads():
    network, released = seeded(MobileNetV2), {}
    parts = {"pose": "ori", "shape": "shape", "expression": "exp"}
    for name, tensor in network.state_dict().items():
        if name.startswith("heads."):
            _, part, kind = name.split(".")
            released[f"module.backbone.classifier_{parts[part]}.1.{kind}"] = tensor
        else:
            rest = name.removeprefix("layers.")
            number, _, tail = rest.partition(".")
            alias = f"features_first.{rest}"
            if int(number) > 8:
                alias = f"features_second.{int(number) - 9}.{tail}"
            released |= {f"module.backbone.{p}": tensor for p in (f"features.{rest}", alias)}
    released["module.backbone.classifier_texture.1.weight"] = torch.zeros(40, 1280)
    # Names and shapes as the public network has them.
    for name, shape in {
        "features.0.0.weight": (32, 3, 3, 3),
        "features.1.conv.0.0.weight": (32, 1, 3, 3),
        "features.1.conv.1.weight": (16, 32, 1, 1),
        "features.2.conv.0.0.weight": (96, 16, 1, 1),
        "features.2.conv.1.1.running_var": (96,),
        "features.17.conv.3.weight": (320,),
        "features.18.0.weight": (1280, 320, 1, 1),
        "classifier_ori.1.weight": (12, 1280),
        "classifier_shape.1.weight": (40, 1280),
    }.items():
        assert tuple(released[f"module.backbone.{name}"].shape) == shape
    other = MobileNetV2()
    other.load_state_dict(released_student_state(released))
    assert torch.equal(other.layers[5].conv[2].weight, network.layers[5].conv[2].weight)


class Eye(nn.Module):
    """A network that keeps what it is shown."""

    def features(self, shown):
        from v2mlib.models.mobilenet_v1 import ImageFeatures

        self.shown = shown
        return ImageFeatures(torch.ones(len(shown), 62), shown.mean((2, 3)), shown)


@pytest.mark.parametrize("size", [64, 120])
def test_images_reach_the_network_as_it_expects_them(size):
    network = ImageToFace(width=0.25)
    network.network = Eye()
    network.mean.fill_(3.0)
    network.std.copy_(torch.arange(62.0))
    red = torch.tensor([1.0, 0.0, -1.0]).view(1, 3, 1, 1).expand(2, 3, size, size)
    found = network(red)
    shown = network.network.shown
    assert shown.shape == (2, 3, 120, 120)
    for channel, value in enumerate((-127.5 / 128, 0.0, 127.5 / 128)):  # blue, green, red
        torch.testing.assert_close(shown[:, channel], torch.full((2, 120, 120), value))
    torch.testing.assert_close(found.pose[0], 3 + torch.arange(12.0))
    torch.testing.assert_close(found.shape[0], 3 + torch.arange(12.0, 52.0))
    torch.testing.assert_close(found.expression[0], 3 + torch.arange(52.0, 62.0))


def test_small_images_are_interpolated_between_pixel_centres():
    network = ImageToFace(width=0.25)
    network.network = Eye()
    ramp = torch.linspace(-1, 1, 64).expand(1, 3, 64, 64)
    network(ramp)
    centres = (torch.arange(120) + 0.5) * 64 / 120 - 0.5
    wanted = (2 * centres.clamp(0, 63) / 63 - 1) * 127.5 / 128
    torch.testing.assert_close(network.network.shown[0, 0, 5], wanted, atol=1e-5, rtol=0)


@pytest.mark.parametrize("name", ["mobilenet_v1", "mobilenet_v2"])
def test_an_image_to_face_network_is_the_same_after_saving(name, tmp_path):
    network = seeded(ImageToFace, name, width=0.25, n_shape=6, n_expression=2).eval()
    network.std.fill_(2.0)
    path = tmp_path / "net.safetensors"
    network.save(path, card={"data": {"kind": "noise"}}, half=False)
    again = ImageToFace.load(path)
    for part, other in zip(network(images()), again(images()), strict=True):
        assert torch.equal(part, other)
    assert json.loads(path.with_suffix(".json").read_text())["data"] == {"kind": "noise"}
    with pytest.raises(InputError, match="holds a image_to_face, not a voice_to_image"):
        VoiceToImage.load(path)


def test_unknown_networks_are_refused():
    with pytest.raises(InputError, match="network 'resnet' is unknown"):
        ImageToFace("resnet")
    with pytest.raises(InputError, match="width=0"):
        MobileNetV2(width=0)


def test_voice_to_image_is_the_same_after_saving(tmp_path):
    encoder = seeded(VoiceEncoder, channels=(8, 8, 8, 8))
    networks = VoiceToImage(encoder, seeded(Generator, channels=TINY)).eval()
    networks.generator.layers[-1].bias.data.fill_(5.0)  # beyond what a picture can hold
    path = tmp_path / "draw.safetensors"
    networks.save(path, half=False)
    again, voices = VoiceToImage.load(path), torch.randn(2, 50, 64)
    with torch.no_grad():
        assert torch.equal(networks(voices), again(voices))
        assert float(networks(voices).max()) == 1.0
    with pytest.raises(InputError, match="holds a voice_to_image, not a image_to_face"):
        ImageToFace.load(path)
