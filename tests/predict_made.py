"""What the tests of prediction share: a voice that nobody has, weights that know nothing."""

import numpy as np
import torch
from PIL import Image

from v2mlib import predicting
from v2mlib.cli import main
from v2mlib.faces import load_face_model
from v2mlib.models import Voice2Mesh
from v2mlib.models.voice2mesh import Architecture

RATE = 16_000


def untrained(**card):
    """Weights of the right form: what is tested is the way from a recording to a file."""
    torch.manual_seed(0)
    face_model = load_face_model("phantom")
    architecture = Architecture(n_shape=face_model.n_shape, n_expression=face_model.n_expression)
    return Voice2Mesh(*architecture.build(), face_model, architecture, card=card)


def made_speech():
    """Three seconds that the voice detector takes for speech."""
    rng = np.random.default_rng(0)
    t = np.arange(3 * RATE) / RATE
    pitch = 120 + 15 * np.sin(2 * np.pi * 3 * t)
    phase = 2 * np.pi * np.cumsum(pitch) / RATE
    voice = sum(np.sin(k * phase) / k for k in range(1, 25))
    envelope = 0.6 + 0.4 * np.sin(2 * np.pi * 4 * t)
    return (0.1 * envelope * voice + 0.001 * rng.standard_normal(t.size)).astype(np.float32)


def without_drawing(monkeypatch):
    """Leave the faces undrawn, which takes longer than all the rest of a prediction."""
    monkeypatch.setattr(predicting, "_appearance", lambda model: {})
    monkeypatch.setattr(predicting, "_picture", lambda *_: Image.new("RGB", (2, 2)))


def predict(*words):
    """The exit code; the command line's own refusals exit instead of returning."""
    try:
        return main(["predict", *map(str, words)])
    except SystemExit as error:
        return error.code
