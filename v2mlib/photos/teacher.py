"""3DDFA-V2: from a photographed face to pose, shape, expression and landmarks.

The network answers with 62 whitened numbers. Times their standard deviation plus their mean they
are ``P (3 x 4)``, 40 shape and 10 expression coefficients of the Basel face model in its raw
units, and a vertex ``v`` appears at ``P[:, :3] v + P[:, 3]`` in the 120 x 120 crop, y up.
"""

from typing import NamedTuple

import numpy as np
import torch
from tqdm import tqdm

from v2mlib.checks import InputError
from v2mlib.faces import MorphableModel, load_face_model
from v2mlib.faces.readers.slices import MICROMETRE
from v2mlib.faces.readers.statistics import read_whitening
from v2mlib.models.checkpoints import load_network, read_released
from v2mlib.models.mobilenet_v1 import IMAGE_SIZE, MobileNetV1, whiten
from v2mlib.photos.crops import crop_regions, region_of_box
from v2mlib.photos.engine_base import checked_boxes
from v2mlib.photos.face_boxes import WEIGHTS as DETECTOR_WEIGHTS
from v2mlib.photos.face_boxes import FaceDetector
from v2mlib.photos.landmarks import box_of_points
from v2mlib.photos.reading import as_photo
from v2mlib.photos.runtime import onnx_available, onnx_predictor
from v2mlib.photos.teacher_files import find_file

POSE, SHAPE, EXPRESSION = slice(0, 12), slice(12, 52), slice(52, 62)
"""Where each part of the 62 parameters is."""

_BATCH = 64


class TeacherFaces(NamedTuple):
    """The faces of one photograph, as the teacher sees them.

    Attributes
    ----------
    whitened : ndarray of float32, (face, parameter=62)
        What the network says: pose, shape and expression in standard deviations.
    pose : ndarray of float32, (face, 3, 4), crop's pixels per micrometre, and crop's pixels
        Scaled rotation and shift into the 120 x 120 crop, y up.
    shape_coefficients : ndarray of float32, (face, shape=40), standard deviations
        For the Basel face model's ``decode``.
    expression_coefficients : ndarray of float32, (face, expression=10), standard deviations
        The same for the expression.
    landmarks : ndarray of float32, (face, landmark=68, xyz), pixels
        In the photograph: x right, y down; z grows towards the camera from an arbitrary zero.
    regions : ndarray of float64, (face, 4), pixels
        What was cropped: ``x_low, y_low, x_high, y_high``.
    boxes : ndarray of float64, (face, 4), pixels
        The faces' boxes: given, found by the detector, or of the landmarks.
    scores : ndarray of float64, (face,)
        The detector's confidence; NaN for given boxes.
    """

    whitened: np.ndarray
    pose: np.ndarray
    shape_coefficients: np.ndarray
    expression_coefficients: np.ndarray
    landmarks: np.ndarray
    regions: np.ndarray
    boxes: np.ndarray
    scores: np.ndarray


class Teacher:
    """The pretrained image-to-3D network with all that belongs to it; see `Teacher.load`.

    Parameters
    ----------
    network : MobileNetV1
        Of 62 outputs.
    whitening : tuple of ndarray, (62,)
        Means and standard deviations of the raw parameters.
    face_model : MorphableModel
        The Basel face model, whole or at its landmarks.
    detector : FaceDetector, optional
        For photographs without boxes.
    runtime : {"onnx", "torch"}, optional
        What computes the network; ``onnx`` where it is installed.
    device : str
        For ``torch``.

    Raises
    ------
    InputError
        If the face model is not the Basel one, the runtime unknown or not installed.
    """

    def __init__(
        self, network, whitening, face_model, *, detector=None, runtime=None, device="cpu"
    ):
        if not face_model.topology.startswith("bfm"):
            raise InputError(
                f"face model {face_model.name!r}",
                "is not the Basel face model that the teacher was trained with",
                "give bfm_noneck_v3.pkl of 3DDFA-V2, or its 68 landmarks",
            )
        if runtime is None:
            runtime = "onnx" if onnx_available() and torch.device(device).type == "cpu" else "torch"
        if runtime not in ("onnx", "torch"):
            raise InputError(f"runtime {runtime!r}", "is unknown", "choose onnx or torch")
        if runtime == "onnx" and torch.device(device).type != "cpu":
            raise InputError("runtime 'onnx'", f"does not use {device}", 'choose runtime="torch"')
        self.network = network.eval().to(device)
        self.mean, self.std = (np.asarray(part, dtype=np.float64) for part in whitening)
        self.face_model, self.detector = face_model, detector
        self.runtime, self.device = runtime, device
        self._predict = onnx_predictor(network) if runtime == "onnx" else self._predict_eagerly

    @classmethod
    def load(
        cls,
        weights,
        *,
        statistics=None,
        face_model=None,
        detector=None,
        runtime=None,
        device="cpu",
    ):
        """Load the released teacher from its files.

        Parameters
        ----------
        weights : path
            ``mb05_120x120.pth`` or ``mb1_120x120.pth``, the same arrays as ``.npz``, what
            `v2mlib.models.checkpoints.convert` wrote, or a folder that holds one of them.
        statistics : path, optional
            ``param_mean_std_62d_120x120.pkl`` or ``.npz``; looked for beside the weights and in
            the folders of a 3DDFA-V2 checkout.
        face_model : path or MorphableModel, optional
            The Basel face model, ``bfm_noneck_v3.pkl`` or its 68 landmarks; looked for as well.
        detector : path, optional
            ``FaceBoxesProd.pth``; looked for as well. Without it every photograph needs a box.
        runtime : {"onnx", "torch"}, optional
            What computes; ``onnx`` where it is installed.
        device : str
            For ``torch``.

        Returns
        -------
        Teacher
            Ready to predict.

        Raises
        ------
        InputError
            If a file is missing or damaged; no code in any of them is run.
        """
        weights = find_file(weights, "weights")
        statistics = find_file(weights, "statistics", statistics)
        if not isinstance(face_model, MorphableModel):
            face_model = load_face_model(find_file(weights, "face_model", face_model))
        detector = find_file(weights, "detector", detector, needed=False)
        if weights.suffix == ".safetensors":
            network = load_network(weights)
        else:
            network, _ = read_released(weights, ("tddfa_width_half", "tddfa_width_1"))
        if not isinstance(network, MobileNetV1):
            raise InputError(weights, "holds another network", "give 3DDFA-V2's MobileNetV1")
        return cls(
            network,
            read_whitening(statistics),
            face_model,
            detector=FaceDetector(detector, device=device) if detector else None,
            runtime=runtime,
            device=device,
        )

    def predict(self, images, boxes=None, *, regions=None, progress=False):
        """Predict the faces of photographs.

        Parameters
        ----------
        images : sequence of path or ndarray of uint8, (row, column, rgb=3)
            Photographs.
        boxes : sequence of array_like, (face, 4) or (4,), pixels, optional
            Per image the faces' boxes, forehead to chin, as detectors give them, or None to
            let the detector look.
        regions : sequence of array_like, (face, 4) or (4,), pixels, optional
            Instead of boxes, the square regions to crop, for instance from
            `v2mlib.photos.crops.region_of_landmarks`.
        progress : bool
            Whether to show a bar on stderr.

        Returns
        -------
        list of TeacherFaces
            One per image; without faces where none was found.

        Raises
        ------
        InputError
            If an image cannot be read, boxes do not fit, or boxes are missing and there is no
            detector.
        """
        images = list(images)
        if boxes is not None and regions is not None:
            raise InputError("boxes and regions", "are both given", "give one of them")
        boxes = checked_boxes(boxes, len(images))
        regions = checked_boxes(regions, len(images))
        found, crops = [], []
        for image, box, region in zip(
            tqdm(images, "faces", disable=not progress), boxes, regions, strict=True
        ):
            photo, scores = as_photo(image), None
            if region is None:
                box, scores = (box, None) if box is not None else self._detect(photo)
                region = region_of_box(box)
            crops.append(crop_regions(photo, region))
            found.append((box, region, scores))
        if not images:
            return []
        whitened = self.outputs(np.concatenate(crops))
        ends = np.cumsum([len(region) for _, region, _ in found])
        parts = np.split(whitened, ends[:-1])
        return [self._decode(part, *face) for part, face in zip(parts, found, strict=True)]

    def outputs(self, crops):
        """Whitened parameters of crops.

        Parameters
        ----------
        crops : ndarray of uint8, (face, row=120, column=120, rgb=3)
            From `v2mlib.photos.crops.crop_regions`.

        Returns
        -------
        ndarray of float32, (face, parameter=62)
            In standard deviations.
        """
        levels = torch.from_numpy(np.ascontiguousarray(crops)).permute(0, 3, 1, 2).float()
        batches = whiten(levels).split(_BATCH)
        found = [self._predict(batch.numpy()) for batch in batches if len(batch)]
        return np.concatenate([np.empty((0, len(self.mean)), np.float32), *found])

    @torch.inference_mode()
    def _predict_eagerly(self, images):
        return self.network(torch.from_numpy(images).to(self.device)).cpu().numpy()

    def _detect(self, photo):
        if self.detector is None:
            raise InputError(
                "the teacher",
                "was given a photo without a face box, and has no detector",
                f"put {DETECTOR_WEIGHTS} of 3DDFA-V2 beside its weights, or give boxes",
            )
        return self.detector.detect(photo)

    def _decode(self, whitened, boxes, regions, scores):
        """From the network's answers to what can be used, for the faces of one photograph."""
        raw = whitened * self.std + self.mean
        pose = raw[:, POSE].reshape(-1, 3, 4)
        known = self.face_model.from_raw(raw[:, SHAPE], raw[:, EXPRESSION])
        vertices = self.face_model.decode(*known, vertices=self.face_model.landmarks)
        placed = vertices.double().numpy() / MICROMETRE @ pose[:, :, :3].mT + pose[:, None, :, 3]
        # From the crop as MATLAB counts it, the first pixel 1 and y up, to the photograph.
        placed = placed - [1, 0, 1]
        placed[..., 1] = IMAGE_SIZE - placed[..., 1]
        scale = (regions[:, 2:] - regions[:, :2]) / IMAGE_SIZE  # (face, xy)
        placed[..., :2] = placed[..., :2] * scale[:, None] + regions[:, None, :2]
        placed[..., 2] *= scale.mean(1)[:, None]
        landmarks = placed.astype(np.float32)
        return TeacherFaces(
            whitened.astype(np.float32),
            pose.astype(np.float32),
            known.shape.float().numpy(),
            known.expression.float().numpy(),
            landmarks,
            regions,
            box_of_points(landmarks) if boxes is None else boxes,
            np.full(len(regions), np.nan) if scores is None else scores,
        )
