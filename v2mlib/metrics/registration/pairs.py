"""Which faces are registered to which, and how results go back to the caller."""

from typing import NamedTuple

import numpy as np
import torch

from v2mlib.metrics.pairs import as_pair


class FacePairs(NamedTuple):
    """Faces to register.

    Attributes
    ----------
    predicted, reference : tensor of float64, (face, vertex, xyz=3), mm
        The faces, each once.
    which : ndarray of int64, (pair, 2)
        Rows of the two.
    batch : tuple of int
        Batch axes of the results.
    back : function
        Turns a tensor into the caller's kind, tensor or ndarray.
    """

    predicted: torch.Tensor
    reference: torch.Tensor
    which: np.ndarray
    batch: tuple
    back: object

    def pack(self, results):
        """Turn results by pair into the caller's batch axes and kind.

        Parameters
        ----------
        results : array_like, (pair, ...)
            One row per pair.

        Returns
        -------
        tensor or ndarray, (*batch, ...)
            The same numbers.
        """
        results = torch.as_tensor(np.asarray(results), device=self.predicted.device)
        return self.back(results.reshape(self.batch + results.shape[1:]))


def face_pairs(predicted, reference, model):
    """Pair up faces whose batch axes broadcast; a face that serves several pairs is kept once.

    Parameters
    ----------
    predicted, reference : tensor or ndarray, (..., vertex, xyz=3), mm
        Faces in the model's topology, two of one kind.
    model : MorphableModel
        Names the topology.

    Returns
    -------
    FacePairs
        In float64, detached from any graph.

    Raises
    ------
    ShapeError
        If the faces are not of the model's topology or their batch axes do not broadcast.
    InputError
        If they are of two kinds, or hold NaN or infinity.
    """
    predicted, reference, back = as_pair(predicted, reference, model)
    batch = torch.broadcast_shapes(predicted.shape[:-2], reference.shape[:-2])
    faces, rows = [], []
    for face in (predicted, reference):
        axes = face.shape[:-2]
        faces.append(face.detach().reshape(-1, *face.shape[-2:]).double())
        rows.append(torch.arange(len(faces[-1])).reshape(axes).expand(batch).reshape(-1).numpy())
    return FacePairs(*faces, np.stack(rows, axis=1), tuple(batch), back)
