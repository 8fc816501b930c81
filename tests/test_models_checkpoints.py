"""Released checkpoints, imitated by dicts of the same keys and shapes."""

import itertools
import pickle

import pytest
import torch

from v2mlib.checks import InputError
from v2mlib.models import CoefficientHeads, Generator, VoiceEncoder
from v2mlib.models.checkpoints import convert, load_network


def released_encoder():
    """Keys and shapes of the public voice encoder, as a plain list."""
    widths = [64, 256, 384, 576, 864]
    shapes = {}
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        shapes[f"model.{3 * number}.weight"] = (after, before, 3)
        for name in ("weight", "bias", "running_mean", "running_var"):
            shapes[f"model.{3 * number + 1}.{name}"] = (after,)
        shapes[f"model.{3 * number + 1}.num_batches_tracked"] = ()
    return shapes | {"model.12.weight": (64, 864, 3), "model.12.bias": (64,)}


def released_generator():
    widths = [64, 1024, 512, 256, 128, 64]
    shapes = {}
    for number, (before, after) in enumerate(itertools.pairwise(widths)):
        shapes[f"model.{2 * number}.weight"] = (before, after, 4, 4)
        shapes[f"model.{2 * number}.bias"] = (after,)
    return shapes | {"model.10.weight": (64, 3, 1, 1), "model.10.bias": (3,)}


def released_heads():
    shapes = {}
    for name, size in (("scale", 1), ("shape", 40), ("exp", 10)):
        shapes[f"classifier_{name}.1.weight"] = (size, 64)
        shapes[f"classifier_{name}.1.bias"] = (size,)
    return shapes


def filled(shapes):
    """Arrays of numbers that tell every key from every other."""
    generator = torch.Generator().manual_seed(5)
    return {
        name: torch.tensor(7)
        if name.endswith("tracked")
        else torch.rand(shape, generator=generator) + 0.1
        for name, shape in shapes.items()
    }


@pytest.mark.parametrize("prefix", ["", "module."])
def test_encoder_converts_and_gives_what_the_released_layers_give(tmp_path, prefix):
    state = filled(released_encoder())
    torch.save({prefix + name: tensor for name, tensor in state.items()}, tmp_path / "e.pth")
    encoder = convert(tmp_path / "e.pth", "voice_encoder", tmp_path / "e.safetensors")
    assert isinstance(encoder, VoiceEncoder)
    assert not encoder.training
    signal = torch.randn(2, 64, 40, generator=torch.Generator().manual_seed(1))
    expected = signal
    for number in (0, 3, 6, 9):
        expected = torch.nn.functional.conv1d(
            expected, state[f"model.{number}.weight"], stride=2, padding=1
        )
        batch = {
            key: state[f"model.{number + 1}.{key}"][:, None]
            for key in ("weight", "bias", "running_mean", "running_var")
        }
        expected = (expected - batch["running_mean"]) / (batch["running_var"] + 1e-5).sqrt()
        expected = torch.relu(expected * batch["weight"] + batch["bias"])
    expected = torch.nn.functional.conv1d(
        expected, state["model.12.weight"], state["model.12.bias"], stride=2, padding=1
    ).mean(2)
    with torch.inference_mode():
        found = encoder(signal.transpose(1, 2), normalise=False)
        again = load_network(tmp_path / "e.safetensors")(signal.transpose(1, 2), normalise=False)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert torch.equal(found, again)


def test_counters_that_old_files_lack_are_not_needed(tmp_path):
    state = {k: v for k, v in filled(released_encoder()).items() if "tracked" not in k}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "e.pth")
    convert(tmp_path / "e.pth", "voice_encoder", tmp_path / "e.safetensors")


def test_heads_convert_by_name(tmp_path):
    state = filled(released_heads())
    torch.save(state, tmp_path / "h.pth")
    heads = convert(tmp_path / "h.pth", "supervised_head", tmp_path / "h.safetensors")
    assert isinstance(heads, CoefficientHeads)
    assert heads.dropout.p == 0.2
    embedding = torch.randn(3, 64)
    shape, expression = heads(embedding)
    for found, name in ((shape, "shape"), (expression, "exp"), (heads.scale(embedding), "scale")):
        wanted = embedding @ state[f"classifier_{name}.1.weight"].T
        wanted = wanted + state[f"classifier_{name}.1.bias"]
        torch.testing.assert_close(found, wanted)


def test_generator_converts_with_its_transposed_last_layer(tmp_path):
    state = filled(released_generator())
    torch.save(state, tmp_path / "g.pth")
    generator = convert(tmp_path / "g.pth", "generator", tmp_path / "g.safetensors")
    assert isinstance(generator, Generator)
    assert torch.equal(generator.layers[10].weight, state["model.10.weight"])
    assert torch.equal(generator.layers[4].bias, state["model.4.bias"])


def test_names_and_shapes_at_fault_are_listed(tmp_path):
    state = filled(released_heads())
    state["extra.weight"] = torch.zeros(1)
    state["classifier_exp.1.bias"] = torch.zeros(29)
    del state["classifier_shape.1.weight"]
    torch.save(state, tmp_path / "h.pth")
    with pytest.raises(
        InputError,
        match=r"h.pth lacks shape.weight; has unknown extra.weight; "
        r"has expression.bias of shape \(29,\), not \(10,\)",
    ):
        convert(tmp_path / "h.pth", "supervised_head", tmp_path / "h.safetensors")
    assert not (tmp_path / "h.safetensors").exists()
    torch.save(filled(released_generator()), tmp_path / "g.pth")
    with pytest.raises(InputError, match=r"lacks .*layers\.1\.weight"):
        convert(tmp_path / "g.pth", "voice_encoder", tmp_path / "x.safetensors")


class Runs:
    """What a hostile file does when it is unpickled."""

    def __init__(self, marker):
        self.marker = marker

    def __reduce__(self):
        return open, (str(self.marker), "w")


@pytest.mark.parametrize("write", [torch.save, lambda o, p: p.write_bytes(pickle.dumps(o))])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(tmp_path, write):
    write({"model.0.weight": Runs(tmp_path / "ran")}, tmp_path / "evil.pth")
    with pytest.raises(InputError, match=r"evil.pth .*(could run code|cannot be read)"):
        convert(tmp_path / "evil.pth", "voice_encoder", tmp_path / "x.safetensors")
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (None, "does not exist"),
        (b"", "cannot be read"),
        (b"not a checkpoint", "cannot be read"),
        ([torch.zeros(1)], "does not hold arrays by name"),
    ],
)
def test_damaged_files_are_named(tmp_path, content, problem):
    path = tmp_path / "broken.pth"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        torch.save(content, path)
    with pytest.raises(InputError, match=rf"broken.pth {problem}"):
        convert(path, "voice_encoder", tmp_path / "x.safetensors")


def test_a_file_cut_short_is_named(tmp_path):
    torch.save(filled(released_heads()), tmp_path / "h.pth")
    whole = (tmp_path / "h.pth").read_bytes()
    (tmp_path / "h.pth").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match=r"h.pth cannot be read as a checkpoint"):
        convert(tmp_path / "h.pth", "supervised_head", tmp_path / "x.safetensors")


def test_unknown_kind_lists_the_known():
    with pytest.raises(InputError, match="choose from voice_encoder, generator, supervised_head"):
        convert("any.pth", "student", "x.safetensors")
