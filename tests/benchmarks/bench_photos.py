"""ONNX Runtime beside eager PyTorch for the teacher's network, our resizing beside OpenCV's.

Random weights of the released architecture: the time does not depend on what they are.
"""

import numpy as np
import torch
from harness import Row

from v2mlib.models.mobilenet_v1 import MobileNetV1
from v2mlib.photos.crops import crop_regions
from v2mlib.photos.runtime import onnx_available, onnx_predictor


def rows():
    """Rows for single faces, batches of 64, and the crop from photograph to network."""
    torch.manual_seed(0)
    if onnx_available():
        for width, batch in ((0.5, 1), (0.5, 64), (1.0, 1)):
            yield _network(width, batch)
    try:
        import cv2
    except ImportError:
        return
    photo = np.random.default_rng(0).integers(0, 256, (450, 450, 3), dtype=np.uint8)
    yield Row(
        "crop 300 x 300 and resize to 120",
        lambda: [crop_regions(photo, [[80, 90, 380, 390]]) for _ in range(50)],
        lambda: [
            cv2.resize(photo[90:390, 80:380], (120, 120), interpolation=cv2.INTER_LINEAR)
            for _ in range(50)
        ],
        "OpenCV",
        50,
        "face",
    )


def _network(width, batch):
    network = MobileNetV1(width).eval()
    images = torch.rand(batch, 3, 120, 120) * 2 - 1
    predict, arrays, repeats = onnx_predictor(network, threads=1), images.numpy(), 64 // batch

    @torch.inference_mode()
    def eager():
        for _ in range(repeats):
            network(images)

    return Row(
        f"MobileNetV1 x{width:g}, batch {batch}: ONNX Runtime",
        lambda: [predict(arrays) for _ in range(repeats)],
        eager,
        "eager PyTorch",
        repeats * batch,
        "face",
    )
