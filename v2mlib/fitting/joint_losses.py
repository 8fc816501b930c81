"""What a student learns from its teacher, as weighted losses."""

import dataclasses

import torch
from torch import nn

from v2mlib.checks import InputError
from v2mlib.fitting.distillation import METHODS, VARIANTS
from v2mlib.fitting.vertex_loss import MeshTripletLoss, VertexLoss, pose_scale
from v2mlib.models.mobilenet_v2 import N_POSE

FEATURES = ("pooled", "map")
TRUTHS = ("drawn", "photographs")


@dataclasses.dataclass(frozen=True)
class LossWeights:
    """Factors on the losses that are added to the generator's; the defaults are the paper's.

    Attributes
    ----------
    coefficients : float
        On the squared error of the whitened coefficients (Eq. 3), summed over them.
    distillation : float
        On the distillation of features (Eq. 6).
    vertices : float
        On the squared error of all vertices, averaged over their coordinates. 0.5 in the
        released code, which has it instead of Eq. 3.
    triplet : float
        On the triplet margin loss of meshes. 1.5 in the released code.
    """

    coefficients: float = 1.0
    distillation: float = 1.0
    vertices: float = 0.0
    triplet: float = 0.0

    def __post_init__(self):
        """Refuse weights that cannot be."""
        for name, weight in dataclasses.asdict(self).items():
            if not 0 <= weight < float("inf"):
                raise InputError(f"weight {name}={weight}", "cannot be", "choose 0 or more")


@dataclasses.dataclass(frozen=True)
class LessonConfig:
    """How a student learns from its teacher; the defaults are the paper's.

    Attributes
    ----------
    distillation : str
        A name among `v2mlib.fitting.distillation.METHODS`. "vanilla" adds nothing to Eq. 3.
    variant : {"paper", "released"}
        Its formula.
    features : tuple of {"pooled", "map"}
        What is distilled: the pooled features, the intermediate maps, or both. By default
        (empty) what suits the method: the maps for "attention", else the pooled features.
    truth : {"drawn", "photographs"}
        Of what the teacher's coefficients are the pseudo ground truth: of the drawn image
        itself (Eq. 3); or of the speaker's photographs, averaged over them, which no trait of
        drawn images can mislead. Either way features are compared on the drawn image.
    weights : LossWeights
        Of the losses.
    triplet_margin : float
        How much nearer the speaker's own mesh shall be.
    scaled_vertices : bool
        Whether vertices carry the scale of the predicted pose, as in the released code.
    through_teacher : bool
        Whether gradients reach the image through the teacher, too, as in the released code. In
        the paper the teacher's output is a truth to reach, and truths do not give way.
    to_generator : bool
        Whether the generator learns from these losses: else only the student does, on images
        drawn for the critic alone.
    align_corners : bool
        Whether images are enlarged so that corner pixels stay in the corners, as in the
        released code.
    """

    distillation: str = "pkt"
    variant: str = "paper"
    features: tuple = ()
    truth: str = "drawn"
    weights: LossWeights = dataclasses.field(default_factory=LossWeights)
    triplet_margin: float = 1.0
    scaled_vertices: bool = False
    through_teacher: bool = False
    to_generator: bool = True
    align_corners: bool = False

    def __post_init__(self):
        """Refuse settings that cannot be."""
        known = {
            "distillation": tuple(METHODS),
            "variant": VARIANTS,
            "truth": TRUTHS,
        }
        for name, choices in known.items():
            if getattr(self, name) not in choices:
                raise InputError(
                    f"{name} {getattr(self, name)!r}",
                    "is unknown",
                    f"choose from {', '.join(choices)}",
                )
        unknown = [name for name in self.features if name not in FEATURES]
        if unknown:
            raise InputError(f"feature {unknown[0]!r}", "is unknown", f"choose from {FEATURES}")
        if not self.triplet_margin > 0:
            raise InputError(f"triplet_margin={self.triplet_margin}", "is not positive", "raise it")

    @property
    def distilled(self):
        """What is distilled.

        Returns
        -------
        tuple of str
            `features`, or what suits the method; nothing if it has no weight.
        """
        nothing = self.distillation == "vanilla" and self.variant == "paper"
        if nothing or not self.weights.distillation:
            return ()
        if self.distillation == "vanilla":
            return ("coefficients",)
        return self.features or (("map",) if self.distillation == "attention" else ("pooled",))


class Lessons(nn.Module):
    """Losses of a student beside its teacher.

    Parameters
    ----------
    config : LessonConfig
        Which.
    student, teacher : ImageToFace
        On the CPU, in eval mode.
    face_model : MorphableModel, optional
        For losses on meshes.
    n_samples : int, optional
        How many utterances there are to learn from, for a method with a memory.

    Attributes
    ----------
    methods : torch.nn.ModuleDict
        A distillation loss per feature, perhaps with parameters and buffers of its own.

    Raises
    ------
    InputError
        If the face model is not that of the coefficients.
    """

    def __init__(self, config, student, teacher, *, face_model=None, n_samples=None):
        super().__init__()
        self.config = config
        options = {"n_samples": n_samples} if config.distillation == "crd" else {}
        sizes = {
            name: [_size(network, name) for network in (student, teacher)]
            for name in config.distilled
        }
        self.methods = nn.ModuleDict(
            {
                name: METHODS[config.distillation](*pair, variant=config.variant, **options)
                for name, pair in sizes.items()
            }
        )
        self.register_buffer("std", teacher.std[N_POSE:].clone(), persistent=False)
        if config.weights.vertices or config.weights.triplet:
            wanted = tuple(teacher.settings[name] for name in ("n_shape", "n_expression"))
            if face_model is None or (face_model.n_shape, face_model.n_expression) != wanted:
                raise InputError(
                    f"a teacher of {wanted[0]} + {wanted[1]} coefficients",
                    f"does not fit {face_model!r}, whose meshes the losses are to compare",
                    "choose a teacher of this face model, or no losses on meshes",
                )
            self.vertices = VertexLoss(face_model)
            self.triplet = MeshTripletLoss(face_model, margin=config.triplet_margin)

    @property
    def learns(self):
        """Whether a method has parameters that learn with the student."""
        return any(True for _ in self.methods.parameters())

    def forward(self, student, teacher, index=None, partners=None, gather=None):
        """Compare what both say of the same images.

        Parameters
        ----------
        student, teacher : ImageToFaceOutput of tensor
            The teacher's without gradients to its parameters.
        index : tensor of int64, (batch,), optional
            Which utterances the images were drawn for.
        partners : tuple, optional
            What the student says of images of the same speakers and of others
            (two `ImageToFaceOutput`), and a tensor of bool, (batch,): who has a second
            utterance.
        gather : callable, optional
            Brings features of all processes together, for losses that compare samples.

        Returns
        -------
        total : tensor, ()
            The weighted sum.
        parts : dict of str to tensor
            Losses before weighting: "coefficient_loss", "distillation_loss", "vertex_loss",
            "triplet_loss"; those without a weight, too, where they cost nothing.
        """
        config, weights = self.config, self.config.weights
        found, wanted = (self._whitened(said) for said in (student, teacher))
        parts = {"coefficient_loss": (found - wanted).square().sum(1).mean()}
        total = weights.coefficients * parts["coefficient_loss"]
        together = gather or (lambda tensor: tensor)
        if self.methods:
            whose = None if index is None else together(index)
            parts["distillation_loss"] = sum(
                method(
                    together(found if name == "coefficients" else getattr(student, name)),
                    together(wanted if name == "coefficients" else getattr(teacher, name)),
                    whose,
                )
                for name, method in self.methods.items()
            )
            total = total + weights.distillation * parts["distillation_loss"]
        scale = pose_scale if config.scaled_vertices else lambda _: None
        if weights.vertices:
            squared = self.vertices(
                _face(student),
                _face(teacher),
                predicted_scale=scale(student.pose),
                reference_scale=scale(teacher.pose),
            )
            parts["vertex_loss"] = squared / 3  # per coordinate
            total = total + weights.vertices * parts["vertex_loss"]
        if partners is not None:
            *others, has_positive = partners
            three = (student, *others)
            parts["triplet_loss"] = self.triplet(
                *(_face(said) for said in three),
                scales=[scale(said.pose) for said in three],
                has_positive=has_positive,
            )
            total = total + weights.triplet * parts["triplet_loss"]
        return total, parts

    def _whitened(self, said):
        return torch.cat([said.shape, said.expression], 1).float() / self.std


def _face(said):
    return said.shape.float(), said.expression.float()


def _size(network, feature):
    """Channels of a feature."""
    if feature == "coefficients":
        return network.settings["n_shape"] + network.settings["n_expression"]
    size = network.settings["image_size"]
    with torch.no_grad():
        return getattr(network(torch.zeros(1, 3, size, size)), feature).shape[1]
