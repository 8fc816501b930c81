"""Readers of the authors' public checkpoints, which are converted by name to safetensors."""

import pickle
import warnings
import zipfile
from pathlib import Path
from typing import NamedTuple

import torch

import v2mlib
from v2mlib.checks import InputError
from v2mlib.faces.storage import read_npz
from v2mlib.files import sha256
from v2mlib.models.generator import Generator
from v2mlib.models.heads import CoefficientHeads
from v2mlib.models.mobilenet_v1 import MobileNetV1
from v2mlib.models.voice_encoder import VoiceEncoder
from v2mlib.models.weights import load_exactly, read_weights, write_weights


class _Kind(NamedTuple):
    """How a released network's names map to ours."""

    build: type
    options: dict
    renamed: dict  # prefix there -> prefix here
    dropped: tuple = ()  # prefixes of what served in training only


_TDDFA = {"renamed": {"fc_param.": "fc."}, "dropped": ("fc_lm.",)}

KINDS = {
    "voice_encoder": _Kind(VoiceEncoder, {}, {"model.": "layers."}),
    "generator": _Kind(Generator, {}, {"model.": "layers."}),
    "supervised_head": _Kind(
        CoefficientHeads,
        {"dropout": 0.2, "scale": True},
        {
            "classifier_shape.1.": "shape.",
            "classifier_exp.1.": "expression.",
            "classifier_scale.1.": "scale.",
        },
    ),
    "tddfa_width_1": _Kind(MobileNetV1, {"width": 1.0}, **_TDDFA),
    "tddfa_width_half": _Kind(MobileNetV1, {"width": 0.5}, **_TDDFA),
}
"""Kinds of released checkpoints that can be converted."""


def convert(path, kind, out):
    """Convert a released checkpoint to safetensors with a card.

    Parameters
    ----------
    path : path
        The ``.pth`` file. It is read as arrays only: one that would run code is refused.
    kind : {"voice_encoder", "generator", "supervised_head", "tddfa_width_1", "tddfa_width_half"}
        What it holds; the last two are 3DDFA-V2's MobileNetV1. The names of its arrays are
        those of the released networks, with or without the ``module.`` that training on several
        GPUs puts before them.
    out : path
        The ``.safetensors`` file to write, in full precision.

    Returns
    -------
    torch.nn.Module
        The network with these weights, in eval mode.

    Raises
    ------
    InputError
        If the file is missing, damaged, would run code, or holds another network, listing the
        names and shapes at fault.
    """
    network = read_released(path, (kind,))[0]
    card = {
        "kind": kind,
        "architecture": KINDS[kind].options,
        "data": {"kind": "released", "source": Path(path).name, "source_sha256": sha256(path)},
        "version": v2mlib.__version__,
    }
    write_weights(out, network.state_dict(), card, half=False)
    return network


def read_released(path, kinds):
    """Read a released checkpoint without converting it.

    Parameters
    ----------
    path : path
        A ``.pth``, read as arrays only, or an ``.npz`` of the same arrays.
    kinds : sequence of str
        What it may hold, of `KINDS`; the first whose shapes fit is taken.

    Returns
    -------
    network : torch.nn.Module
        With these weights, in eval mode.
    kind : str
        Which it is.

    Raises
    ------
    InputError
        If the file is missing, damaged, would run code, or holds none of these, with the names
        and shapes at fault.
    """
    networks = {kind: _new(kind) for kind in kinds}
    stored = read_arrays(path)
    for kind, network in networks.items():
        shared, found = KINDS[kind], {}
        for name, tensor in stored.items():
            name = name.removeprefix("module.")
            if name.startswith(shared.dropped):
                continue
            prefix = next((p for p in shared.renamed if name.startswith(p)), "")
            found[shared.renamed.get(prefix, "") + name.removeprefix(prefix)] = tensor.clone()
        for name, tensor in network.state_dict().items():
            if name.endswith("num_batches_tracked"):  # written by newer versions of torch only
                found.setdefault(name, tensor)
        try:
            return load_exactly(network, found, path).eval(), kind
        except InputError:
            if kind == kinds[-1]:
                raise
    raise InputError("kinds", "are none", f"choose from {', '.join(KINDS)}")


def load_network(path):
    """Load a network that `convert` wrote.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Returns
    -------
    torch.nn.Module
        In eval mode.

    Raises
    ------
    InputError
        If the files are missing or damaged, or hold something else.
    """
    tensors, card = read_weights(path)
    return load_exactly(_new(card.get("kind")), tensors, path).eval()


def _new(kind):
    if kind not in KINDS:
        raise InputError(f"kind {kind!r}", "is unknown", f"choose from {', '.join(KINDS)}")
    return KINDS[kind].build(**KINDS[kind].options)


def read_arrays(path):
    """Read the arrays of a released checkpoint.

    Parameters
    ----------
    path : path
        A ``.pth``, read as arrays only, or an ``.npz``.

    Returns
    -------
    dict of str to tensor
        By the names they have there.

    Raises
    ------
    InputError
        If the file is missing, damaged, would run code or holds something else.
    """
    if Path(path).suffix == ".npz":
        arrays = read_npz(path)
        return {n: torch.from_numpy(a) for n, a in arrays.items() if a.dtype.kind in "fiu"}
    try:
        with warnings.catch_warnings():  # about pickle protocols, which it then refuses or reads
            warnings.simplefilter("ignore")
            stored = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise InputError(path, "does not exist", "check the path") from None
    except IsADirectoryError:
        raise InputError(path, "is a folder", "give the .pth file in it") from None
    except pickle.UnpicklingError as error:
        if "global" in str(error).lower():  # it names a function or class
            raise InputError(
                path,
                "holds Python objects beside arrays and could run code",
                "ask for the bare state dict (torch.save(network.state_dict()))",
            ) from None
        raise _damaged(path) from None
    except (OSError, EOFError, RuntimeError, ValueError, zipfile.BadZipFile, KeyError):
        raise _damaged(path) from None
    if isinstance(stored, dict) and isinstance(stored.get("state_dict"), dict):
        stored = stored["state_dict"]
    if not isinstance(stored, dict) or not all(
        isinstance(name, str) and isinstance(value, torch.Tensor) for name, value in stored.items()
    ):
        raise InputError(path, "does not hold arrays by name", "give a saved state dict")
    return stored


def _damaged(path):
    return InputError(path, "cannot be read as a checkpoint", "it may be cut short: copy it again")
