"""Networks, their weights, and the model that turns a voice into a face."""

from v2mlib.models.checkpoints import convert_checkpoint, read_checkpoint
from v2mlib.models.face import Face
from v2mlib.models.networks import CoefficientHeads, Generator, VoiceEncoder, VoiceToCoefficients
from v2mlib.models.voice2mesh import Voice2Mesh
from v2mlib.models.weights import load_weights, save_weights

__all__ = [
    "CoefficientHeads",
    "Face",
    "Generator",
    "Voice2Mesh",
    "VoiceEncoder",
    "VoiceToCoefficients",
    "convert_checkpoint",
    "load_weights",
    "read_checkpoint",
    "save_weights",
]
