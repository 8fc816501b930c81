"""What an ablation consists of."""

import dataclasses

from v2mlib.checks import InputError
from v2mlib.datasets.torch_datasets import CropConfig
from v2mlib.fitting.adversarial import AdversarialConfig
from v2mlib.fitting.distillation import METHODS
from v2mlib.fitting.task import EngineConfig
from v2mlib.fitting.unsupervised import UnsupervisedConfig

WEIGHTINGS = ("equal", "one")

#: The phantom's: narrow networks, short clips, as those that its cascade ships with.
PHANTOM = UnsupervisedConfig(
    adversarial=AdversarialConfig(
        generator_width=0.25,
        critic_width=0.5,
        batch_size=32,
        crop=CropConfig(),
        engine=EngineConfig(n_steps=600, validate_every=600, checkpoint_every=100),
    ),
    student_width=0.5,
    student_rate=5.0,
)


@dataclasses.dataclass(frozen=True)
class AblationConfig:
    """Which methods with which seeds, and how each is trained.

    Attributes
    ----------
    methods : tuple of str
        Among `v2mlib.fitting.distillation.METHODS`.
    seeds : tuple of int
        Of the student's first weights, the batches and the noise; the same for all methods, so
        that runs are paired. All runs share generator and critic that they start from, if any.
    training : UnsupervisedConfig
        Of every run; its method and its seed are replaced.
    weighting : {"equal", "one"}
        Factor on the distillation: "equal" gives it, at the start, a gradient to the student of
        the same length as that of Eq. 3, whatever the scale of the method's formula; "one" is
        the paper's Eq. 7 to the letter, with which a method's influence is an accident of its
        units.
    keep_networks : bool
        Whether to keep the networks of finished runs.
    """

    methods: tuple = tuple(METHODS)
    seeds: tuple = (0, 1, 2)
    training: UnsupervisedConfig = PHANTOM
    weighting: str = "equal"
    keep_networks: bool = False

    def __post_init__(self):
        """Refuse settings that cannot be."""
        for name in ("methods", "seeds"):
            values = getattr(self, name)
            if not values or len(set(values)) != len(values):
                raise InputError(f"{name} {values}", "are none or not distinct", "name each once")
        if unknown := [name for name in self.methods if name not in METHODS]:
            raise InputError(
                f"method {unknown[0]!r}", "is unknown", f"choose from {', '.join(METHODS)}"
            )
        if min(self.seeds) < 0:
            raise InputError(f"seed {min(self.seeds)}", "is negative", "choose 0 or more")
        if self.weighting not in WEIGHTINGS:
            raise InputError(
                f"weighting {self.weighting!r}", "is unknown", f"choose from {WEIGHTINGS}"
            )

    @property
    def jobs(self):
        """The runs, seed by seed: whatever is finished early is a whole comparison.

        Returns
        -------
        list of dict
            With ``method`` and ``seed``.
        """
        return [{"method": method, "seed": seed} for seed in self.seeds for method in self.methods]

    @property
    def null_of(self):
        """Whose predictions the null control deals to others.

        Returns
        -------
        str
            The paper's method, or else the last one.
        """
        return "pkt" if "pkt" in self.methods else self.methods[-1]

    def training_of(self, method, seed, *, weight=None):
        """Configure one run.

        Parameters
        ----------
        method : str
            Of distillation.
        seed : int
            Of the run.
        weight : float, optional
            On the distillation; that of `training` by default.

        Returns
        -------
        UnsupervisedConfig
            A named difference from `training`.
        """
        base = self.training
        weights = base.lessons.weights
        if weight is not None:
            weights = dataclasses.replace(weights, distillation=weight)
        lessons = dataclasses.replace(base.lessons, distillation=method, weights=weights)
        engine = dataclasses.replace(base.engine, seed=seed)
        adversarial = dataclasses.replace(base.adversarial, engine=engine)
        return dataclasses.replace(base, adversarial=adversarial, lessons=lessons)


def restored(default, values):
    """Make a configuration from plain data.

    Parameters
    ----------
    default : dataclass instance
        Of the wanted kind.
    values : dict
        As `dataclasses.asdict` and JSON leave it.

    Returns
    -------
    dataclass instance
        Of the kind of the default.

    Examples
    --------
    >>> config = AblationConfig(seeds=(4, 5))
    >>> restored(AblationConfig(), dataclasses.asdict(config)) == config
    True
    """
    made = {}
    for field in dataclasses.fields(default):
        if field.name in values:
            value, like = values[field.name], getattr(default, field.name)
            if dataclasses.is_dataclass(like):
                value = restored(like, value)
            made[field.name] = tuple(value) if isinstance(value, list) else value
    return dataclasses.replace(default, **made)
