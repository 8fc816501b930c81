"""What a joint training takes over from an adversarial one."""

import json
from pathlib import Path
from typing import NamedTuple

import torch

from v2mlib.checks import InputError
from v2mlib.fitting.adversarial import digest_of
from v2mlib.models.voice_encoder import VoiceEncoder


class Start(NamedTuple):
    """Generator and critic to begin with.

    Attributes
    ----------
    networks : dict of str to dict
        State dicts of "generator" and "critic", perhaps of a "student", too.
    optimisers : dict of str to dict
        Likewise, of the optimisers "generator" and "critic" of an adversarial training; empty
        for fresh ones.
    """

    networks: dict
    optimisers: dict


class AdversarialRun(NamedTuple):
    """A finished adversarial training on disk.

    Attributes
    ----------
    settings : dict
        Its `config.json`.
    state : dict
        Its last state.
    """

    settings: dict
    state: dict

    @classmethod
    def read(cls, folder):
        """Read it.

        Parameters
        ----------
        folder : path
            Of the run.

        Returns
        -------
        AdversarialRun
            On the CPU.

        Raises
        ------
        InputError
            If the folder holds none, or an unfinished one.
        """
        folder = Path(folder)
        try:
            settings = json.loads((folder / "config.json").read_text("utf-8"))
            state = torch.load(folder / "last.pt", map_location="cpu", weights_only=True)
            found, wanted = state["run"]["step"], settings["engine"]["n_steps"]
            run = cls(settings, state)
            run.start, run.encoder  # noqa: B018 - all that will be asked for is there
        except Exception as error:  # torch raises whatever the damage makes it stumble over
            raise InputError(
                folder,
                f"holds no finished adversarial training ({type(error).__name__}: {error})",
                "give the folder of one, or start afresh",
            ) from None
        if found < wanted:
            raise InputError(
                folder, f"is at step {found} of {wanted}", "finish the adversarial training first"
            )
        return run

    @property
    def start(self):
        """Generator, critic and their optimisers: Start."""
        names = ("generator", "critic")
        parts = ({name: self.state[part][name] for name in names}
                 for part in ("networks", "optimisers"))  # fmt: skip
        return Start(*parts)

    @property
    def encoder(self):
        """The frozen voice encoder: VoiceEncoder, in eval mode."""
        weights = self.state["networks"]["encoder"]
        convolutions = [tensor for tensor in weights.values() if tensor.ndim == 3]
        *channels, size = (len(tensor) for tensor in convolutions)
        encoder = VoiceEncoder(convolutions[0].shape[1], channels, size)
        encoder.load_state_dict(weights)
        return encoder.eval()

    @property
    def widths(self):
        """Factors on the channels: dict of `generator_width` and `critic_width`."""
        return {
            name: self.settings["adversarial"][name] for name in ("generator_width", "critic_width")
        }


def start_of(folder, encoder):
    """Read what a joint training with an encoder can begin with.

    Parameters
    ----------
    folder : path
        Of a finished `train_adversarial`.
    encoder : VoiceEncoder
        Whose embeddings the generator must have learned to draw for.

    Returns
    -------
    Start
        Generator, critic and their optimisers.

    Raises
    ------
    InputError
        If the folder holds no finished training with this encoder.
    """
    run = AdversarialRun.read(folder)
    if run.settings.get("encoder") != digest_of(encoder):
        raise InputError(folder, "was trained with another voice encoder", "give that encoder")
    return run.start
