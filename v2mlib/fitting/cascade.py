"""The paper's baseline: a voice-to-image network, then an image-to-face network, never joined.

Both are trained apart and put one behind the other as they are: nothing tells the images what
the second network will look for.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch

from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import ResidentUtterances
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.models.image_to_face import ImageToFace
from v2mlib.models.voice_to_image import VoiceToImage

MINIMUM_FRAMES = 200
"""Shorter utterances are repeated until they have as many frames, as for Voice2Mesh."""


class Cascade(NamedTuple):
    """Two networks that know nothing of each other.

    Attributes
    ----------
    voice_to_image : VoiceToImage
        Draws a face for a voice.
    image_to_face : ImageToFace
        Tells a face's coefficients from an image.
    """

    voice_to_image: VoiceToImage
    image_to_face: ImageToFace


def predict_cascade(cascade, world, *, split="test", workers=None, progress=True):
    """Predict shape coefficients from every utterance of a split.

    Parameters
    ----------
    cascade : Cascade
        What predicts, in eval mode.
    world : World
        The data set; its photographs are not looked at.
    split : {"test", "train", "validation"}
        Whose utterances.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    pandas.DataFrame
        A row per utterance, the identity as index and a column per shape coefficient (standard
        deviations), as of `v2mlib.fitting.predict_world`.

    Raises
    ------
    InputError
        If the split has no usable recording.

    References
    ----------
    Wu et al., "Voice2Mesh", section 4, the baseline of Tables 1 to 4.
    """
    utterances, images = draw_world(
        cascade.voice_to_image, world, split=split, workers=workers, progress=progress
    )
    with torch.inference_mode():
        shape = [cascade.image_to_face(part).shape for part in images.split(256)]
    identity = [utterances.identities[number] for number in utterances.identity.tolist()]
    return pd.DataFrame(
        torch.cat(shape).float().cpu().numpy(), index=pd.Index(identity, name="identity")
    )


def draw_world(voice_to_image, world, *, split="test", workers=None, progress=True):
    """Draw a face for every utterance of a split.

    Parameters
    ----------
    voice_to_image : VoiceToImage
        In eval mode.
    world : World
        The data set.
    split : {"test", "train", "validation"}
        Whose utterances.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show a progress bar on the standard error stream.

    Returns
    -------
    utterances : ResidentUtterances
        Whose utterance each image is of.
    images : tensor of float32, (utterance, rgb=3, row=64, column=64)
        In [-1, 1].

    Raises
    ------
    InputError
        If the split has no usable recording.
    """
    store = log_mel_store(world, workers=workers, progress=progress)
    device = next(voice_to_image.parameters()).device
    utterances = ResidentUtterances(store, split_names(world, split), device=device)
    with torch.inference_mode():
        embeddings = embed_all(voice_to_image.encoder, utterances, minimum_frames=MINIMUM_FRAMES)
        images = [voice_to_image.draw(part).float() for part in embeddings.split(256)]
    return utterances, torch.cat(images)


class Shrinkage(NamedTuple):
    """How to calm predictions that are too bold: towards the mean face, all alike.

    Attributes
    ----------
    centre : ndarray, (shape,)
        Mean prediction.
    mean : ndarray, (shape,)
        Mean face.
    factor : float
        Share of a prediction's deviation from the centre that is kept.
    """

    centre: np.ndarray
    mean: np.ndarray
    factor: float

    def __call__(self, table):
        """Shrink predictions.

        Parameters
        ----------
        table : DataFrame
            A row per utterance, a column per coefficient.

        Returns
        -------
        DataFrame
            Of the same form.
        """
        return self.mean + self.factor * (table - self.centre)


def fit_shrinkage(table, world):
    """Find the factor that makes predictions of known identities best in least squares.

    It learns from reference faces, which the cascade itself never does: what it mends is named
    apart. Fit it on the validation identities: they have training names, but the generator has
    not met them.

    Parameters
    ----------
    table : DataFrame
        Predictions of identities of the world, as from `predict_cascade`.
    world : World
        The data set.

    Returns
    -------
    Shrinkage
        Centre, mean and factor.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> people = pd.DataFrame({"identity": ["a", "b", "c"]})
    >>> world = SimpleNamespace(
    ...     identities=people, reference_coefficients=[[1.0], [2.0], [3.0]]
    ... )
    >>> bold = pd.DataFrame([[10.0], [14.0], [18.0]], index=["a", "b", "c"])
    >>> shrinkage = fit_shrinkage(bold, world)
    >>> shrinkage.factor, shrinkage(bold)[0].tolist()
    (0.25, [1.0, 2.0, 3.0])
    """
    averaged = table.groupby(level=0).mean()
    people = pd.Index(world.identities["identity"]).get_indexer_for(averaged.index)
    truth = np.asarray(world.reference_coefficients, dtype=float)[people]
    found = averaged.to_numpy(dtype=float)
    centre, mean = found.mean(0), truth.mean(0)
    found, truth = found - centre, truth - mean
    return Shrinkage(centre, mean, float((found * truth).sum() / np.square(found).sum()))
