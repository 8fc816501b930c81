"""What trainings take from a world: who is in which split, and the reference faces."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from v2mlib.checks import InputError


class References(NamedTuple):
    """Reference faces, the teachers of a world's identities.

    Attributes
    ----------
    identity : pandas.Index of str
        Whose each row is.
    shape : tensor of float32, (identity, shape), standard deviations
        Shape coefficients.
    expression : tensor of float32, (identity, expression), standard deviations
        Expression coefficients.
    """

    identity: pd.Index
    shape: torch.Tensor
    expression: torch.Tensor

    def of(self, identities):
        """Pick identities.

        Parameters
        ----------
        identities : sequence of str
            Whose.

        Returns
        -------
        tuple of tensor
            Their shape and expression coefficients.
        """
        rows = torch.from_numpy(self.identity.get_indexer_for(identities))
        return self.shape[rows], self.expression[rows]


def references_of(world, face_model):
    """Reference faces of a world.

    Parameters
    ----------
    world : World
        The data set. A phantom's true faces have the neutral expression.
    face_model : MorphableModel
        Its face model.

    Returns
    -------
    References
        Of all identities.
    """
    shape = torch.tensor(np.array(world.reference_coefficients), dtype=torch.float32)
    expression = torch.zeros(len(shape), face_model.n_expression)
    return References(pd.Index(world.identities["identity"]), shape, expression)


def split_names(world, split):
    """Identities of a split.

    Parameters
    ----------
    world : World
        The data set.
    split : {"train", "validation", "test"}
        Which.

    Returns
    -------
    list of str
        In the order of the world.

    Raises
    ------
    InputError
        If there are none.
    """
    people = world.identities
    names = people.loc[people["split"] == split, "identity"].tolist()
    if not names:
        raise InputError(world.folder, f"has no {split} identities", "use a larger world")
    return names


def world_kind(world):
    """Tell whether the people of a world are synthetic.

    Parameters
    ----------
    world : World
        The data set.

    Returns
    -------
    str
        "phantom" or "recorded".
    """
    return "phantom" if "law" in world.config else "recorded"


def embed_all(encoder, utterances, *, minimum_frames=1):
    """Embed utterances in full.

    Parameters
    ----------
    encoder : VoiceEncoder
        In eval mode.
    utterances : ResidentUtterances
        On the encoder's device.
    minimum_frames : int
        Shorter utterances are repeated until they have as many.

    Returns
    -------
    tensor of float32, (utterance, embedding)
        Of length 1.
    """
    embeddings = None
    for clips, log_mel, n_frames in utterances.whole(minimum_frames=minimum_frames):
        found = encoder(log_mel, n_frames).float()
        if embeddings is None:
            embeddings = found.new_empty(len(utterances), found.shape[1])
        embeddings[clips] = found
    return embeddings
