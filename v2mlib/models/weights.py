"""Weights on disk: safetensors beside a JSON card that says what they are."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from v2mlib.checks import InputError
from v2mlib.files import atomic, sha256
from v2mlib.paths import shipped

CARD_FORMAT = 1
_PICKLES = (".pth", ".pt", ".pkl", ".pickle", ".tar", ".ckpt", ".bin")


def save_weights(state, card, path, *, half=True):
    """Write weights and their card.

    The card is written last and holds the weights' checksum: a crash between the two leaves
    weights whose card does not fit, which are refused, never ones that are taken for others.

    Parameters
    ----------
    state : dict of str to tensor
        A state dict.
    card : dict
        What the weights are, as plain data.
    path : path
        ``NAME.safetensors``; the card becomes ``NAME.json``.
    half : bool
        Whether to store floats in half precision (relative error below 5e-4).

    Returns
    -------
    pathlib.Path
        The weights' file.
    """
    path = Path(path).with_suffix(".safetensors")
    stored = {
        name: tensor.detach()
        .cpu()
        .to(torch.float16 if half and tensor.is_floating_point() else tensor.dtype)
        .contiguous()
        for name, tensor in state.items()
    }
    with atomic(path) as partial:
        save_file(stored, partial)
    with atomic(path.with_suffix(".json")) as partial:
        whole = {"format": CARD_FORMAT, **card, "sha256": sha256(path)}
        partial.write_text(json.dumps(whole, indent=1) + "\n", "utf-8")
    return path


def find_weights(name_or_path):
    """The file of shipped weights, or a reader's own.

    Parameters
    ----------
    name_or_path : str or path
        A shipped name (``"phantom"``) or a ``.safetensors`` file with its card beside it.

    Returns
    -------
    pathlib.Path
        The ``.safetensors`` file, which exists.

    Raises
    ------
    InputError
        If there is none, listing the shipped names, or if it is a pickle.
    """
    path = Path(name_or_path)
    if path.suffix.lower() in _PICKLES:
        raise InputError(
            path,
            "is a pickle, which can run code when loaded",
            "convert a public checkpoint with v2mlib.models.convert_checkpoint",
        )
    if path.suffix == ".safetensors":
        if path.is_file():
            return path
        raise InputError(path, "does not exist", "check the path")
    folder = shipped("README.md").parent
    names = sorted(file.stem for file in folder.glob("*.safetensors"))
    if str(name_or_path) in names:
        return folder / f"{name_or_path}.safetensors"
    remedy = f"name one of {', '.join(names) or 'none'}, or a .safetensors file"
    raise InputError(f"model {str(name_or_path)!r}", "is unknown", remedy)


def load_weights(path):
    """Read weights and their card, and see that they belong together.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Returns
    -------
    state : dict of str to tensor
        Floats in single precision, on the CPU.
    card : dict
        What the weights are.

    Raises
    ------
    InputError
        If either file is absent or damaged, or they do not belong together.
    """
    path = Path(path)
    beside = path.with_suffix(".json")
    again = "copy both files again, or train again"
    try:
        card = json.loads(beside.read_text("utf-8"))
        known = card["format"] <= CARD_FORMAT
    except FileNotFoundError:
        raise InputError(path, f"has no card {beside.name} beside it", again) from None
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(beside, f"is not a card of weights ({error})", again) from None
    if not known:
        raise InputError(beside, f"has format {card['format']}", "install a newer v2mlib")
    try:
        if sha256(path) != card["sha256"]:
            raise InputError(path, "is damaged: its checksum is not the one on its card", again)
        state = load_file(path)
    except (OSError, SafetensorError, KeyError) as error:
        raise InputError(path, f"cannot be read ({error})", again) from None
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in state.items()
    }, card
