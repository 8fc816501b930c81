"""Weights on disk: a safetensors file, and beside it a card in JSON that says what they are."""

import json
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save

from v2mlib.checks import InputError
from v2mlib.files import atomic, sha256

FORMAT = "v2mlib weights 1"


def write_weights(path, tensors, card, *, half=True):
    """Write weights and their card.

    The weights are written first and the card holds their checksum: a pair that was torn apart
    (or a crash between the two) is noticed by `read_weights`.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file; the card has the same name with ``.json``.
    tensors : dict of str to tensor
        The weights.
    card : dict
        What they are, as plain data.
    half : bool
        Whether to round floats to half precision.

    Returns
    -------
    dict
        The card as written.

    Raises
    ------
    InputError
        If the suffix is another one, a weight is not finite (or not in half precision), or the
        file cannot be written.
    """
    path = Path(path)
    if path.suffix != ".safetensors":
        raise InputError(path, "is not a name for weights", "end it with .safetensors")
    stored = {}
    for name, tensor in tensors.items():
        tensor = tensor.detach().cpu().contiguous()
        if tensor.is_floating_point():
            tensor = tensor.half() if half else tensor
            if not torch.isfinite(tensor).all():
                raise InputError(path, f"would hold NaN or infinity in {name}", "train again")
        stored[name] = tensor
    try:
        with atomic(path) as partial:
            partial.write_bytes(save(stored, metadata={"format": FORMAT}))
            card = {"format": FORMAT, **card, "weights_sha256": sha256(partial)}
        with atomic(path.with_suffix(".json")) as partial:
            partial.write_text(json.dumps(card, indent=1) + "\n", "utf-8")
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(path, f"cannot be written ({reason})", "choose another place") from None
    return card


def read_weights(path):
    """Read weights and their card.

    Parameters
    ----------
    path : path
        The ``.safetensors`` file.

    Returns
    -------
    tensors : dict of str to tensor
        Floats as float32.
    card : dict
        What they are.

    Raises
    ------
    InputError
        If either file is missing, damaged or not the other's, naming it and the remedy.
    """
    path = Path(path)
    card = _read_card(path)
    try:
        if sha256(path) != card["weights_sha256"]:
            raise InputError(
                path,
                f"is damaged, or {path.with_suffix('.json').name} beside it belongs to other "
                "weights",
                "copy both files again",
            )
        with safe_open(path, framework="pt") as stored:
            tensors = {name: stored.get_tensor(name) for name in stored.keys()}  # noqa: SIM118
    except (OSError, SafetensorError) as error:
        reason = getattr(error, "strerror", None) or "not a safetensors file"
        raise InputError(path, f"cannot be read ({reason})", "copy it again") from None
    return {
        name: tensor.float() if tensor.is_floating_point() else tensor
        for name, tensor in tensors.items()
    }, card


def _read_card(path):
    if path.is_dir():
        raise InputError(path, "is a folder", "give the .safetensors file in it")
    if not path.is_file():
        raise InputError(path, "does not exist", "check the path")
    if path.suffix != ".safetensors":
        raise InputError(
            path,
            "is not a safetensors file; others are not opened, as pickles can run code",
            "convert a released checkpoint with v2mlib.models.checkpoints.convert",
        )
    place = path.with_suffix(".json")
    try:
        card = json.loads(place.read_text("utf-8"))
    except FileNotFoundError:
        raise InputError(path, f"has no card {place.name} beside it", "copy both files") from None
    except (OSError, ValueError) as error:
        raise InputError(place, f"cannot be read ({error})", "copy it again") from None
    if not isinstance(card, dict) or card.get("format") != FORMAT or "weights_sha256" not in card:
        raise InputError(place, "is not a card of v2mlib weights", "copy it again")
    return card


def load_exactly(network, tensors, path):
    """Put weights into a network, refusing any that are missing, left over or of wrong shape.

    Parameters
    ----------
    network : torch.nn.Module
        Where to.
    tensors : dict of str to tensor
        The weights.
    path : path
        Where they come from, for the message.

    Returns
    -------
    torch.nn.Module
        The network.

    Raises
    ------
    InputError
        Listing the names at fault.
    """
    wanted = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    problem = describe_misfit(wanted, {name: tuple(t.shape) for name, t in tensors.items()})
    if problem:
        raise InputError(path, problem, "it holds the weights of another network")
    network.load_state_dict(tensors)
    return network


def describe_misfit(wanted, found):
    """Say how names and shapes differ from what is needed.

    Parameters
    ----------
    wanted, found : dict of str to tuple of int
        Shapes by name.

    Returns
    -------
    str
        Empty if they agree.

    Examples
    --------
    >>> describe_misfit({"a": (2,), "b": (3,)}, {"a": (4,), "c": (1,)})
    'lacks b; has unknown c; has a of shape (4,), not (2,)'
    """
    missing = [name for name in wanted if name not in found]
    unknown = [name for name in found if name not in wanted]
    parts = [f"lacks {_listed(missing)}"] if missing else []
    parts += [f"has unknown {_listed(unknown)}"] if unknown else []
    parts += [
        f"has {name} of shape {found[name]}, not {shape}"
        for name, shape in wanted.items()
        if name in found and found[name] != shape
    ]
    return "; ".join(parts)


def _listed(names, most=12):
    rest = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(names[:most]) + rest
