"""Networks, and Voice2Mesh, which predicts a face from a voice."""

import importlib

_HOMES = {
    "CoefficientHeads": "heads",
    "Critic": "discriminator",
    "Face": "face",
    "FaceEmbedder": "discriminator",
    "Generator": "generator",
    "ImageHeads": "image_heads",
    "ImageSexClassifier": "image_sex",
    "ImageToFace": "image_to_face",
    "MobileNetV1": "mobilenet_v1",
    "MobileNetV2": "mobilenet_v2",
    "Voice2Mesh": "voice2mesh",
    "VoiceEncoder": "voice_encoder",
    "VoiceToImage": "voice_to_image",
}

__all__ = list(_HOMES)


def __getattr__(name):
    """Import on first use: a face needs no networks."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)


def __dir__():
    """List the public names."""
    return sorted(_HOMES)
