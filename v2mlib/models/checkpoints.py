"""The authors' public checkpoints, by key, without running any code of theirs.

================ ============================================= ==========================
kind             public file                                   keys
================ ============================================= ==========================
voice_encoder    ``voice_embedding.pth`` of voice2face         ``model.0.weight`` ...
generator        ``generator.pth`` of voice2face               ``model.0.weight`` ...
supervised_head  supervised generator of Voice2Mesh            ``classifier_shape.1`` ...
================ ============================================= ==========================

A ``module.`` in front (left by DataParallel) and a ``state_dict`` around are taken off.
"""

import pickle
import re
from pathlib import Path

import torch

from v2mlib.checks import InputError
from v2mlib.models.networks import CoefficientHeads, Generator, VoiceEncoder
from v2mlib.models.weights import save_weights

_HEADS = {"shape": "shape", "exp": "expression", "scale": "scale"}


def _layers(key):
    return re.sub(r"^model\.", "layers.", key)


def _heads(key):
    found = re.fullmatch(r"classifier_(shape|exp|scale)\.1\.(weight|bias)", key)
    return f"{_HEADS[found[1]]}.{found[2]}" if found else key


KINDS = {
    "voice_encoder": (lambda state: VoiceEncoder(), _layers),
    "generator": (lambda state: Generator(), _layers),
    "supervised_head": (lambda state: CoefficientHeads(scale="scale.weight" in state), _heads),
}
"""Kinds of public checkpoints: the network to build, and the name of each key in it."""


def read_checkpoint(path, kind):
    """A network with the weights of a public checkpoint.

    Parameters
    ----------
    path : path
        A file written by ``torch.save``; only tensors are read from it.
    kind : {"voice_encoder", "generator", "supervised_head"}
        What it is a checkpoint of.

    Returns
    -------
    torch.nn.Module
        In evaluation mode, single precision.

    Raises
    ------
    InputError
        If the file is absent or not a checkpoint, would run code, or its keys or shapes are not
        those of this kind; all of them are named.

    References
    ----------
    Wen et al. 2019 (voice2face); Wu et al., "Voice2Mesh", released code.
    """
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", "is unknown", f"choose from {', '.join(KINDS)}")
    path = Path(path)
    build, rename = KINDS[kind]
    state = {
        rename(key.removeprefix("module.")): value.float() if value.is_floating_point() else value
        for key, value in _read_tensors(path).items()
    }
    network = build(state)
    expected = network.state_dict()
    # Very old checkpoints lack this counter, which evaluation never reads.
    optional = {key for key in expected if key.endswith("num_batches_tracked")}
    state |= {key: expected[key] for key in optional - set(state)}
    faults = [f"lacks {key}" for key in expected if key not in state]
    faults += [f"holds unknown {key}" for key in state if key not in expected]
    faults += [
        f"{key} has shape {tuple(state[key].shape)}, expected {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    if faults:
        raise InputError(path, f"is not a {kind} checkpoint", "; ".join(faults))
    network.load_state_dict(state)
    return network.eval()


def convert_checkpoint(path, kind, out):
    """Convert a public checkpoint to safetensors with a card.

    Parameters
    ----------
    path : path
        The public file.
    kind : {"voice_encoder", "generator", "supervised_head"}
        What it is a checkpoint of.
    out : path
        ``NAME.safetensors`` to write, in full precision.

    Returns
    -------
    pathlib.Path
        The file written.

    Raises
    ------
    InputError
        As `read_checkpoint` does.
    """
    network = read_checkpoint(path, kind)
    card = {"name": Path(out).stem, "kind": kind, "source": Path(path).name}
    card["architecture"] = network.settings
    return save_weights(network.state_dict(), card, out, half=False)


def _read_tensors(path):
    try:
        found = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except pickle.UnpicklingError:
        raise InputError(
            path,
            "is not a plain checkpoint: it holds more than tensors and could run code",
            "get the file from its authors, or save its state_dict alone",
        ) from None
    except (OSError, RuntimeError, EOFError, ValueError, KeyError) as error:
        reason = " ".join(str(error).split())[:120]
        raise InputError(path, f"cannot be read ({reason})", "download it again") from None
    found = found.get("state_dict", found) if isinstance(found, dict) else found
    if not isinstance(found, dict) or not all(torch.is_tensor(value) for value in found.values()):
        raise InputError(path, "holds no state dict", "save network.state_dict()")
    return found
