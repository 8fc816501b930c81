"""Supervised Voice2Mesh: coefficients regressed on voices, with reference faces as teachers."""

import dataclasses
from pathlib import Path
from typing import NamedTuple

import torch

from v2mlib.checks import InputError
from v2mlib.datasets.features import log_mel_store
from v2mlib.datasets.torch_datasets import CropConfig, ResidentUtterances, identity_mean
from v2mlib.faces import load_face_model
from v2mlib.faces.lines import DIVISOR, RATIO_LINES
from v2mlib.fitting.data import embed_all, references_of, split_names, world_kind
from v2mlib.fitting.engine import fit
from v2mlib.fitting.pretraining import PretrainingConfig, pretrain_encoder
from v2mlib.fitting.task import EngineConfig, Training
from v2mlib.fitting.voice_task import VoiceTask
from v2mlib.metrics.ratios import line_jacobian
from v2mlib.models.architecture import Architecture
from v2mlib.models.voice2mesh import Voice2Mesh

VARIANTS = ("end_to_end", "pretrained", "finetuned")
LOSSES = ("coefficients", "ratios")


@dataclasses.dataclass(frozen=True)
class SupervisedConfig:
    """A supervised training; every experiment is a named difference from these defaults.

    Attributes
    ----------
    variant : {"end_to_end", "pretrained", "finetuned"}
        Encoder and heads learn together from the faces; or the encoder learns to tell the
        training identities apart and is then frozen, and only the heads learn from the faces
        (the paper's way); or the pretrained encoder goes on learning with the heads.
    loss : {"coefficients", "ratios"}
        The paper's squared error of the coefficients (Eq. 2); or the squared error of the four
        ratios, linearised, in units of their spread, to which a tenth of Eq. 2 is added.
    learning_rate : float
        Highest, of AdamW.
    head_rate : float
        Factor on the heads' learning rate: on embeddings of length 1 their weights must grow
        large.
    weight_decay : float
        Of AdamW.
    warmup : int
        Updates until the highest learning rate.
    batch_size : int
        Crops per update.
    dropout : float
        Before the heads.
    crop : CropConfig
        Length of the crops.
    engine : EngineConfig
        How the training is run.
    pretraining : PretrainingConfig
        How the encoder is pretrained, for the variants that do.
    """

    variant: str = "end_to_end"
    loss: str = "coefficients"
    learning_rate: float = 1e-3
    head_rate: float = 8.0
    weight_decay: float = 1e-4
    warmup: int = 50
    batch_size: int = 64
    dropout: float = 0.0
    crop: CropConfig = dataclasses.field(default_factory=CropConfig)
    engine: EngineConfig = dataclasses.field(default_factory=EngineConfig)
    pretraining: PretrainingConfig = dataclasses.field(default_factory=PretrainingConfig)

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name, known in (("variant", VARIANTS), ("loss", LOSSES)):
            if getattr(self, name) not in known:
                raise InputError(
                    f"{name} {getattr(self, name)!r}",
                    "is unknown",
                    f"choose from {', '.join(known)}",
                )


_PAPER_CROP = CropConfig(3.0, 8.0)
_PAPER_ENGINE = EngineConfig(n_steps=50_000, validate_every=500, checkpoint_every=1000)
_TINY_ENGINE = EngineConfig(n_steps=40, validate_every=10, checkpoint_every=10)
#: Schedules by the size of a world; that of the paper is for a GPU.
SIZES = {
    "tiny": SupervisedConfig(
        batch_size=16,
        warmup=10,
        engine=_TINY_ENGINE,
        pretraining=PretrainingConfig(batch_size=16, warmup=10, engine=_TINY_ENGINE),
    ),
    "tutorial": SupervisedConfig(),
    "paper": SupervisedConfig(
        learning_rate=2e-4,
        warmup=500,
        batch_size=128,
        crop=_PAPER_CROP,
        engine=_PAPER_ENGINE,
        pretraining=PretrainingConfig(
            learning_rate=2e-4, warmup=500, batch_size=128, crop=_PAPER_CROP, engine=_PAPER_ENGINE
        ),
    ),
}


class SupervisedTraining(NamedTuple):
    """What came of a supervised training.

    Attributes
    ----------
    model : Voice2Mesh
        The best one on the validation identities.
    training : Training
        Its history.
    """

    model: Voice2Mesh
    training: Training


def train_supervised(world, *, out, config=None, encoder=None, workers=None, progress=True):
    """Train Voice2Mesh on a world, or go on with a training that was stopped.

    Trained on identities of the split "train"; "validation" identities, whose names are
    training names, decide which state is kept. Test identities are not touched.

    Parameters
    ----------
    world : World
        The data set; `v2mlib.datasets.load_world`.
    out : path
        Folder of the run. The model is written there as `model.safetensors`.
    config : SupervisedConfig, optional
        How.
    encoder : VoiceEncoder, optional
        A pretrained encoder, instead of pretraining one on the world's identities.
    workers : int, optional
        Processes for the features.
    progress : bool
        Whether to show progress bars on the standard error stream.

    Returns
    -------
    SupervisedTraining
        Model and history.

    Raises
    ------
    InputError
        If a split is empty or has no usable recording, or the folder holds another training.
    TrainingError
        If the loss is not finite.

    References
    ----------
    Wu et al., "Voice2Mesh", section 3.1 and Eq. 2.
    """
    config, out = config or SupervisedConfig(), Path(out)
    store = log_mel_store(world, workers=workers, progress=progress)
    if config.variant != "end_to_end" and encoder is None:
        pretraining = dataclasses.replace(
            config.pretraining,
            engine=dataclasses.replace(config.pretraining.engine, seed=config.engine.seed),
        )
        encoder, _ = pretrain_encoder(
            world, out=out / "encoder", config=pretraining, workers=workers, progress=progress
        )
    task = SupervisedTask(world, store, config, encoder)
    made_from = {"supervised": config, "world": world.config}
    training = fit(task, out, config=config.engine, made_from=made_from, progress=progress)
    best = training.history.loc[training.history["step"] == training.best_step].iloc[-1]
    card = {
        "data": {"kind": world_kind(world), "world": world.config},
        "training": {"supervised": dataclasses.asdict(config), "best_step": training.best_step},
        "metrics": {
            name: float(best[name]) for name in best.index if name.startswith("validation_")
        },
    }
    model = Voice2Mesh(
        task.networks["encoder"].cpu(),
        task.networks["heads"].cpu(),
        task.face_model,
        task.architecture,
        card=card,
    )
    model.save(out / "model.safetensors", half=False)
    return SupervisedTraining(model, training)


class SupervisedTask(VoiceTask):
    """Regression of coefficients on crops of voices.

    Parameters
    ----------
    world : World
        The data set.
    store : LogMelStore
        Its features.
    config : SupervisedConfig
        How.
    encoder : VoiceEncoder, optional
        A pretrained one.
    """

    monitor = "unexplained"

    def __init__(self, world, store, config, encoder=None):
        self.config, self.store = config, store
        self.face_model = load_face_model(world.face_model)
        self.architecture = Architecture(
            n_shape=self.face_model.n_shape,
            n_expression=self.face_model.n_expression,
            dropout=config.dropout,
            minimum_frames=config.crop.frames[0],
        )
        self.references = references_of(world, self.face_model)
        self.names = {split: split_names(world, split) for split in ("train", "validation")}
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(config.engine.seed)
            fresh, heads = self.architecture.build()
        heads.start_from(*self.references.of(self.names["train"]))
        self.networks = {"encoder": encoder or fresh, "heads": heads}
        self.frozen = ("encoder",) if config.variant == "pretrained" else ()

    def optimisers(self):
        """Make one AdamW for all that learns.

        Returns
        -------
        dict of str to torch.optim.Optimizer
            Under "all".
        """
        rates = {"encoder": 1.0, "heads": self.config.head_rate}
        groups = []
        for name, network in self.networks.items():
            parameters = [p for p in network.parameters() if p.requires_grad]
            if parameters:
                groups.append({"params": parameters, "lr": self.config.learning_rate * rates[name]})
        return {"all": torch.optim.AdamW(groups, weight_decay=self.config.weight_decay)}

    def prepare(self, device):
        """Put features and references on the device.

        Parameters
        ----------
        device : torch.device
            Where the networks are.
        """
        self.utterances, self.targets = {}, {}
        for split, names in self.names.items():
            utterances = ResidentUtterances(self.store, names, device=device)
            self.utterances[split] = utterances
            found = self.references.of(utterances.identities)
            self.targets[split] = tuple(part.to(device) for part in found)
        self.heard, shape = self.utterances["train"], self.targets["train"][0]
        self.criterion = CoefficientLoss(self.config.loss, self.face_model, shape)

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
            `loss`, see `CoefficientLoss`.
        """
        batch = self.batch(number, share)
        predicted = self.networks["heads"](self.networks["encoder"](batch.log_mel))
        targets = (part[batch.identity] for part in self.targets["train"])
        loss = self.criterion(predicted, targets)
        update(loss, "all")
        return {"loss": loss}

    def validate(self):
        """Judge coefficients averaged over each validation identity's utterances.

        Returns
        -------
        dict of str to float
            `loss` as in training; `unexplained`, the share of the four linearised ratios'
            variance that is left, which decides which weights are best: Eq. 2 itself is mostly
            about coefficients that no voice tells.
        """
        utterances, targets = self.utterances["validation"], self.targets["validation"]
        minimum = self.architecture.minimum_frames
        embeddings = embed_all(self.networks["encoder"], utterances, minimum_frames=minimum)
        predicted = [
            identity_mean(part.float(), utterances.identity, len(utterances.identities))
            for part in self.networks["heads"](embeddings)
        ]
        return {
            "loss": self.criterion(predicted, targets),
            "unexplained": 1.0 - self.criterion.explained(predicted[0], targets[0]),
        }


class CoefficientLoss:
    """Squared error of coefficients, per coefficient or per ratio.

    Parameters
    ----------
    kind : {"coefficients", "ratios"}
        Eq. 2; or mainly the four ratios, linearised at the mean face, in units of their spread
        over the training identities.
    face_model : MorphableModel
        What they are coefficients of. Where it lacks lines of the four ratios, as a slice of a
        face does, the coefficients themselves stand for them when weights are chosen.
    shape : tensor, (identity, shape)
        References of the training identities.

    Raises
    ------
    InputError
        If ratios are to be learnt of a face that lacks lines of them, or there is only one
        training identity.

    References
    ----------
    Wu et al., "Voice2Mesh", Eq. 2.
    """

    def __init__(self, kind, face_model, shape):
        if len(shape) < 2:
            raise InputError("training", "has one identity alone", "add people: faces must differ")
        self.kind = kind
        if kind == "ratios" or {DIVISOR, *RATIO_LINES} <= set(face_model.line_names()):
            gradients = line_jacobian(face_model, ratio=True).to(shape)
        else:
            gradients = torch.eye(shape.shape[1]).to(shape)
        spread = (shape @ gradients.T).std(0)
        self.ratios = gradients / spread[:, None]  # (ratio, shape)
        self.usual = (shape @ self.ratios.T).mean(0)

    def __call__(self, predicted, reference):
        """Compare faces.

        Parameters
        ----------
        predicted, reference : iterable of two tensors, (batch, shape) and (batch, expression)
            Standardised coefficients.

        Returns
        -------
        tensor, ()
            Eq. 2 averaged over the batch and divided by the number of coefficients that vary,
            so that 1 is about the error of the mean face; or the same of the ratios, to which
            a tenth of it is added.
        """
        (shape, expression), (shape_reference, expression_reference) = predicted, reference
        gap = shape - shape_reference
        squared = gap.square().sum(1) + (expression - expression_reference).square().sum(1)
        loss = squared.mean() / gap.shape[1]
        if self.kind == "ratios":
            loss = (gap @ self.ratios.T).square().mean() + 0.1 * loss
        return loss

    def explained(self, shape, reference):
        """Share of the ratios' variance that is explained.

        Parameters
        ----------
        shape, reference : tensor, (identity, shape)
            Standardised coefficients.

        Returns
        -------
        tensor, ()
            1 - residual / variance, over the four ratios (or all coefficients) together. One
            identity alone has no variance: it is compared with the training identities' mean.
        """
        truth = reference @ self.ratios.T
        rest = (truth - shape @ self.ratios.T).square().sum()
        usual = truth.mean(0) if len(truth) > 1 else self.usual
        return 1 - rest / (truth - usual).square().sum()
