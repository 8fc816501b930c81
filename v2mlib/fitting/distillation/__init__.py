"""Eight ways for a student network to learn from a teacher's features.

Each follows its paper's formula by default; where the released code or the public collections of
such losses compute something else, that is the variant "released".
"""

from v2mlib.fitting.distillation.attention import Attention
from v2mlib.fitting.distillation.base import VARIANTS, DistillationLoss
from v2mlib.fitting.distillation.contrastive import Contrastive
from v2mlib.fitting.distillation.outputs import Vanilla
from v2mlib.fitting.distillation.probabilistic import Probabilistic
from v2mlib.fitting.distillation.relational import Relational
from v2mlib.fitting.distillation.similarity import Correlation, Similarity
from v2mlib.fitting.distillation.variational import Variational

METHODS = {
    "vanilla": Vanilla,
    "attention": Attention,
    "similarity": Similarity,
    "correlation": Correlation,
    "rkd": Relational,
    "crd": Contrastive,
    "vid": Variational,
    "pkt": Probabilistic,
}
"""The methods of the paper's Table 5, in its order. ``METHODS[name](student_size, teacher_size)``
builds a loss (only "crd" and "vid" need the sizes), and
``loss(student_features, teacher_features, index=None)`` gives a scalar tensor."""

LEARNED = ("crd", "vid")
"""Methods with parameters of their own, to be trained beside the student."""

__all__ = [
    "LEARNED",
    "METHODS",
    "VARIANTS",
    "Attention",
    "Contrastive",
    "Correlation",
    "DistillationLoss",
    "Probabilistic",
    "Relational",
    "Similarity",
    "Vanilla",
    "Variational",
]
