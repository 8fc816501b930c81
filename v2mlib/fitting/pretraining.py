"""Pretraining of the voice encoder: tell the training identities apart by their voices."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch
from torch import nn

from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances, identity_mean
from v2mlib.fitting.data import embed_all, split_names
from v2mlib.fitting.engine import fit
from v2mlib.fitting.task import EngineConfig, Training
from v2mlib.fitting.voice_task import VoiceTask
from v2mlib.models.voice_encoder import EMBEDDING_SIZE, VoiceEncoder


@dataclasses.dataclass(frozen=True)
class PretrainingConfig:
    """A pretraining on speaker identification.

    Attributes
    ----------
    learning_rate : float
        Highest, of AdamW.
    weight_decay : float
        Of AdamW.
    warmup : int
        Updates until the highest learning rate.
    batch_size : int
        Crops per update.
    sharpness : float
        Factor on the cosines that enter the softmax.
    crop : CropConfig
        Length of the crops.
    engine : EngineConfig
        How the training is run.
    """

    learning_rate: float = 1e-3
    weight_decay: float = 1e-4
    warmup: int = 50
    batch_size: int = 64
    sharpness: float = 16.0
    crop: CropConfig = dataclasses.field(default_factory=CropConfig)
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)


class Pretraining(NamedTuple):
    """What came of a pretraining.

    Attributes
    ----------
    encoder : VoiceEncoder
        The best one on the validation identities, in eval mode.
    training : Training
        Its history; `validation_accuracy` is the share of utterances that are nearest to the
        mean of their own speaker's *other* utterances among all validation identities.
    """

    encoder: VoiceEncoder
    training: Training


def pretrain_encoder(world, *, out, config=None, workers=None, progress=True):
    """Train the voice encoder to tell speakers apart, or go on with a training.

    A softmax over the training identities, on the cosines between an utterance's embedding and
    a learned vector per identity. Other people decide which state is kept: the validation
    identities, each utterance of whom must be found among them.

    Parameters
    ----------
    world : World
        The data set.
    out : path
        Folder of the run.
    config : PretrainingConfig, optional
        How.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    Pretraining
        Encoder and history.

    Raises
    ------
    InputError
        If a split has no usable recording, or the folder holds another training.
    TrainingError
        If the loss is not finite.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.
    """
    config = config or PretrainingConfig()
    store = log_mel_store(world, workers=workers, progress=progress)
    task = PretrainingTask(world, store, config)
    made_from = {"pretraining": config, "world": world.config}
    training = fit(task, Path(out), config=config.engine, made_from=made_from, progress=progress)
    return Pretraining(task.networks["encoder"].cpu(), training)


class PretrainingTask(VoiceTask):
    """Speaker identification on crops of voices.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    config : PretrainingConfig
        How.
    """

    def __init__(self, world, store, config):
        self.config, self.store = config, store
        self.names = {split: split_names(world, split) for split in ("train", "validation")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            self.networks = {
                "encoder": VoiceEncoder(),
                "identities": CosineClassifier(EMBEDDING_SIZE, len(self.names["train"])),
            }

    def optimisers(self):
        """Make one AdamW for both networks.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "all".
        """
        parameters = [p for network in self.networks.values() for p in network.parameters()]
        return {
            "all": torch.optim.AdamW(
                parameters, lr=self.config.learning_rate, weight_decay=self.config.weight_decay
            )
        }

    def prepare(self, device):
        """Put the features on the device.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """
        self.heard, self.validation = (
            ResidentUtterances(self.store, self.names[split], device=device)
            for split in ("train", "validation")
        )

    def step(self, number, update, share):
        """Make one update.

        Parameters
        ----------
        number : int
            The step.
        update : callable
            See `Task.step`.
        share : tuple of int
            This process's number and the number of processes.

        Returns
        -------
        dict of str to tensor
            `loss`, in nats, and `accuracy` of the crops.
        """
        batch = self.batch(number, share)
        embedding = self.networks["encoder"](batch.log_mel)
        cosines = self.networks["identities"](embedding)
        loss = nn.functional.cross_entropy(self.config.sharpness * cosines, batch.identity)
        update(loss, "all")
        accuracy = (cosines.argmax(1) == batch.identity).float().mean()
        return {"loss": loss, "accuracy": accuracy}

    def validate(self):
        """Find each utterance of the validation identities among them.

        Returns
        -------
        dict of str to float
            `loss` in nats and `accuracy`.
        """
        return speaker_search(
            embed_all(self.networks["encoder"], self.validation),
            self.validation.identity,
            sharpness=self.config.sharpness,
        )


class CosineClassifier(nn.Module):
    """Cosines between an embedding and a learned vector per class.

    Parameters
    ----------
    embedding_size : int
        Length of the embedding.
    n_classes : int
        Number of vectors.
    """

    def __init__(self, embedding_size, n_classes):
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(n_classes, embedding_size))

    def forward(self, embedding):
        """Compare.

        Parameters
        ----------
        embedding : tensor, (batch, embedding)
            Of length 1.

        Returns
        -------
        tensor, (batch, class)
            Cosines.
        """
        return embedding @ nn.functional.normalize(self.vectors).T


def speaker_search(embeddings, identity, *, sharpness=16.0):
    """Find each utterance's speaker by the mean of the speaker's other utterances.

    Parameters
    ----------
    embeddings : tensor, (utterance, embedding)
        Of length 1.
    identity : tensor of int64, (utterance,)
        Who speaks, numbered from 0 without gaps.
    sharpness : float
        Factor on the cosines that enter the softmax.

    Returns
    -------
    dict of str to float
        `loss` (nats) and `accuracy` of the search over speakers with two or more utterances.

    Examples
    --------
    >>> embeddings = torch.eye(3).repeat_interleave(2, 0)
    >>> speaker_search(embeddings, torch.tensor([0, 0, 1, 1, 2, 2]))["accuracy"]
    1.0
    """
    n_identities = int(identity.max()) + 1
    count = torch.bincount(identity, minlength=n_identities)
    means = identity_mean(embeddings, identity, n_identities)
    cosines = embeddings @ nn.functional.normalize(means).T
    others = means[identity] * count[identity, None] - embeddings
    own = (embeddings * nn.functional.normalize(others)).sum(1)
    cosines = cosines.scatter(1, identity[:, None], own[:, None])
    judged = count[identity] > 1
    if not judged.any():
        return {"loss": float("nan"), "accuracy": float("nan")}
    cosines, identity = cosines[judged], identity[judged]
    loss = nn.functional.cross_entropy(sharpness * cosines, identity)
    return {
        "loss": float(loss),
        "accuracy": float((cosines.argmax(1) == identity).float().mean()),
    }
