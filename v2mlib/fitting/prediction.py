"""Predictions for all utterances of a split, to be scored."""

import pandas as pd
import torch

from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import ResidentUtterances
from v2mlib.fitting.data import embed_all, split_names


def predict_world(model, world, *, split="test", workers=None, progress=True):
    """Predict shape coefficients from every utterance of a split.

    Parameters
    ----------
    model : Voice2Mesh
        What predicts.
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
    pandas.DataFrame
        A row per utterance, the identity as index and a column per shape coefficient (standard
        deviations): what `v2mlib.metrics.scoring.score_methods` takes.

    Raises
    ------
    InputError
        If the split has no usable recording.
    """
    store = log_mel_store(world, workers=workers, progress=progress)
    device = next(model.encoder.parameters()).device
    utterances = ResidentUtterances(store, split_names(world, split), device=device)
    with torch.inference_mode():
        embeddings = embed_all(
            model.encoder, utterances, minimum_frames=model.architecture.minimum_frames
        )
        shape = model.heads(embeddings).shape.float().cpu().numpy()
    identity = [utterances.identities[number] for number in utterances.identity.tolist()]
    return pd.DataFrame(shape, index=pd.Index(identity, name="identity"))
