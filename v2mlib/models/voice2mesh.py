"""A voice in, a face out."""

import os

import numpy as np
import torch

import v2mlib
from v2mlib.checks import InputError, ShapeError
from v2mlib.datasets.world import fingerprint
from v2mlib.faces import load_face_model
from v2mlib.faces.model import Coefficients
from v2mlib.models.face import Face
from v2mlib.models.networks import CoefficientHeads, VoiceEncoder, VoiceToCoefficients
from v2mlib.models.weights import find_weights, load_weights, save_weights
from v2mlib.voices import front_end

#: Displacements of the landmarks below which two models count as the same coefficient space.
_SAME_SPACE_MM = 1e-3


class Voice2Mesh:
    """Predicts the coefficients of a morphable face from voices.

    What it predicts is a statistical estimate, an average over voices that sound alike to the
    encoder; never an identification.

    Parameters
    ----------
    network : VoiceToCoefficients
        Voice encoder and coefficient heads; put into evaluation mode.
    face_model : MorphableModel
        Whose coefficients they are.
    card : dict, optional
        What the weights are: ``data``, ``training``, ``metrics``, ``warning`` ...
    name : str
        What to call them.

    Attributes
    ----------
    network, face_model, card, name
        As given.
    """

    def __init__(self, network, face_model, *, card=None, name="unnamed"):
        wanted = (face_model.n_shape, face_model.n_expression)
        settings = network.heads.settings
        if (settings["n_shape"], settings["n_expression"]) != wanted:
            raise ShapeError(
                f"the network predicts {settings['n_shape']} shape and {settings['n_expression']} "
                f"expression coefficients, face model {face_model.name!r} has {wanted[0]} and "
                f"{wanted[1]}"
            )
        self.network = network.eval()
        self.face_model = face_model
        self.card = dict(card or {})
        self.name = name

    def __repr__(self):
        return f"Voice2Mesh({self.name!r}, {self.face_model!r})"

    @classmethod
    def load(cls, name_or_path="phantom", *, device="cpu"):
        """Load trained weights.

        Parameters
        ----------
        name_or_path : str or path
            A shipped name, or a ``.safetensors`` file with its card beside it.
        device : torch.device or str
            Where to compute.

        Returns
        -------
        Voice2Mesh
            Ready to predict.

        Raises
        ------
        InputError
            If the weights are unknown, damaged, or were trained on another version of their
            face model.
        """
        path = find_weights(name_or_path)
        state, card = load_weights(path)
        try:
            architecture, face = card["architecture"], card["face_model"]
            network = VoiceToCoefficients(
                VoiceEncoder(**architecture["encoder"]), CoefficientHeads(**architecture["heads"])
            )
            network.load_state_dict(state)
            face_name, wanted = face["name"], face["fingerprint"]
        except (KeyError, TypeError, RuntimeError) as error:
            reason = " ".join(str(error).split())[:200]
            raise InputError(
                path, f"does not hold what its card says ({reason})", "train again"
            ) from None
        face_model = load_face_model(face_name)
        if fingerprint(face_model) != wanted:
            raise InputError(
                path,
                f"was trained on another version of face model {face_name!r}",
                "restore that version, or train again",
            )
        name = str(card.get("name", path.stem))
        return cls(network, face_model, card=card, name=name).to(device)

    def save(self, path, *, half=True):
        """Write the weights and their card, whole or not at all.

        Parameters
        ----------
        path : path
            ``NAME.safetensors``; the card becomes ``NAME.json``.
        half : bool
            Whether to store half precision.

        Returns
        -------
        pathlib.Path
            The weights' file.
        """
        card = {
            **self.card,
            "name": self.name,
            "architecture": {
                "encoder": self.network.encoder.settings,
                "heads": self.network.heads.settings,
            },
            "face_model": {
                "name": self.face_model.name,
                "topology": self.face_model.topology,
                "fingerprint": fingerprint(self.face_model),
            },
            "v2mlib_version": v2mlib.__version__,
        }
        return save_weights(self.network.state_dict(), card, path, half=half)

    def to(self, device):
        """The same model computing elsewhere.

        Parameters
        ----------
        device : torch.device or str
            Where to.

        Returns
        -------
        Voice2Mesh
            Itself.
        """
        self.network.to(device)
        return self

    def with_faces(self, name_or_path):
        """The same voice network, decoding into another face model.

        Only models that share the coefficient space qualify (two meshes cut from one model,
        say): the same coefficients must move the 68 landmarks by the same millimetres.

        Parameters
        ----------
        name_or_path : str or path
            The other face model.

        Returns
        -------
        Voice2Mesh
            Decoding into it.

        Raises
        ------
        InputError
            If coefficients mean something else there.
        """
        other = load_face_model(name_or_path)
        if not _same_space(self.face_model, other):
            raise InputError(
                f"face model {other.name!r}",
                f"does not share the coefficients of {self.face_model.name!r}, on which the "
                f"weights {self.name!r} were trained",
                "choose a mesh of the same model, or train on these faces",
            )
        return Voice2Mesh(self.network, other, card=self.card, name=self.name)

    def predict(self, path_or_samples, sample_rate=16_000):
        """The face that goes with a voice, on average.

        Parameters
        ----------
        path_or_samples : path, or array_like (sample,) in [-1, 1]
            A recording of any length from half a second of speech on.
        sample_rate : int, Hz
            Rate of the samples; files know their own.

        Returns
        -------
        Face
            Mesh and coefficients.

        Raises
        ------
        InputError
            If the recording cannot be used.
        """
        return self.predict_many([path_or_samples], sample_rate=sample_rate)[0]

    def predict_many(self, paths_or_samples, *, sample_rate=16_000, batch_size=32):
        """Faces for several recordings, each by itself.

        Parameters
        ----------
        paths_or_samples : sequence of path or array_like
            Recordings of any lengths.
        sample_rate : int, Hz
            Rate of those given as samples.
        batch_size : int
            Recordings per pass through the network.

        Returns
        -------
        list of Face
            In the same order.

        Raises
        ------
        InputError
            If a recording cannot be used.
        """
        if isinstance(paths_or_samples, (str, os.PathLike)):
            raise InputError(
                paths_or_samples, "is one recording, not a list", "use predict, or put it in a list"
            )
        clips = [front_end(item, sample_rate) for item in paths_or_samples]
        if not clips:
            return []
        coefficients = self.coefficients(clips, batch_size=batch_size)
        vertices = self.face_model.decode(*coefficients).cpu().numpy()
        triangles = self.face_model.triangles.cpu().numpy()
        return [
            Face(mesh, Coefficients(shape, expression), triangles, self.face_model.topology)
            for mesh, shape, expression in zip(vertices, *coefficients, strict=True)
        ]

    @torch.inference_mode()
    def coefficients(self, log_mels, *, batch_size=32):
        """Coefficients for log-mel matrices.

        Parameters
        ----------
        log_mels : sequence of array_like, (frame, mel=64)
            As `v2mlib.voices.front_end` gives them.
        batch_size : int
            Clips per pass; clips of like length share a pass, which changes no result.

        Returns
        -------
        Coefficients
            ``shape`` (clip, shape) and ``expression`` (clip, expression), float32 arrays.
        """
        device = next(self.network.parameters()).device
        lengths = np.array([len(clip) for clip in log_mels])
        settings = self.network.heads.settings
        shape = np.empty((len(lengths), settings["n_shape"]), np.float32)
        expression = np.empty((len(lengths), settings["n_expression"]), np.float32)
        order = np.argsort(lengths, kind="stable")
        for start in range(0, len(order), batch_size):
            chosen = order[start : start + batch_size]
            padded = torch.nn.utils.rnn.pad_sequence(
                [torch.as_tensor(log_mels[i]).float() for i in chosen], batch_first=True
            )
            n_frames = torch.as_tensor(lengths[chosen], device=device)
            found = self.network(padded.to(device), n_frames)
            shape[chosen], expression[chosen] = (part.float().cpu().numpy() for part in found)
        return Coefficients(shape, expression)


def _same_space(one, other):
    if (one.n_shape, one.n_expression) != (other.n_shape, other.n_expression):
        return False
    known = ((one.landmarks >= 0) & (other.landmarks >= 0)).cpu()
    if not known.any():
        return False
    for part in ("shape", "expression"):
        a, b = (
            getattr(model, f"{part}_basis")[model.landmarks[known]] * getattr(model, f"{part}_std")
            for model in (one, other)
        )
        if (a - b).abs().max() > _SAME_SPACE_MM:
            return False
    return True
