"""Voice2Mesh: a recording goes in, a face comes out."""

from pathlib import Path

import numpy as np
import torch

import v2mlib
from v2mlib.checks import InputError
from v2mlib.datasets.world import fingerprint, same_fingerprint
from v2mlib.faces import load_face_model
from v2mlib.faces.model import Coefficients
from v2mlib.models.architecture import Architecture
from v2mlib.models.face import Face
from v2mlib.models.weights import load_exactly, read_weights, write_weights
from v2mlib.paths import shipped
from v2mlib.voices import front_end, repeat_to

KIND = "voice2mesh"
SHIPPED = ("phantom",)
PHANTOM_WARNING = (
    "These weights were trained on the phantom population, whose voices and faces are synthetic "
    "and linked far more strongly than in people. For any recording they show a synthetic face, "
    "which says nothing about the real speaker."
)
_BATCH_FRAMES = 48_000  # 8 minutes of speech at a time


class Voice2Mesh:
    """Predicts a face from a voice.

    Parameters
    ----------
    encoder : VoiceEncoder
        The voice encoder.
    heads : CoefficientHeads or ImageHeads
        From embeddings to coefficients.
    face_model : MorphableModel
        What the heads predict coefficients of.
    architecture : Architecture
        What the networks were built from.
    card : dict, optional
        What the weights are: `data` (`kind` "phantom" ...), `training`, `metrics`.
    name : str
        Of the weights.

    Attributes
    ----------
    encoder, heads, face_model, architecture, card, name
        The arguments.
    """

    def __init__(self, encoder, heads, face_model, architecture, *, card=None, name="unsaved"):
        self.encoder = encoder.eval()
        self.heads = heads.eval()
        self.face_model = face_model
        self.architecture = architecture
        self.card = dict(card or {})
        self.name = name

    def __repr__(self):
        """Name the weights and the face model."""
        return f"Voice2Mesh({self.name!r}, face_model={self.face_model.name!r})"

    @classmethod
    def load(cls, name_or_path, *, device="cpu"):
        """Load trained weights.

        Parameters
        ----------
        name_or_path : str or path
            A shipped name ("phantom"), a ``.safetensors`` file with its card beside it, or the
            folder of a finished training, with `model.safetensors` in it.
        device : torch.device or str
            Where the networks are put.

        Returns
        -------
        Voice2Mesh
            Ready to predict.

        Raises
        ------
        InputError
            If the name is unknown, a file is missing or damaged, or the face model it was
            trained on is not here.
        """
        known = str(name_or_path) in SHIPPED
        path = shipped(f"{name_or_path}.safetensors") if known else Path(name_or_path)
        if not known and path.suffix == "" and not path.exists():
            raise InputError(
                f"model {name_or_path}",
                "is unknown",
                f"known: {', '.join(SHIPPED)}; or give a .safetensors file",
            )
        if path.is_dir():
            path = _weights_in(path)
        tensors, card = read_weights(path)
        if card.get("kind") != KIND:
            raise InputError(
                path, f"holds a {card.get('kind')}, not a Voice2Mesh", "choose another"
            )
        try:
            architecture = Architecture(**card["architecture"])
            encoder, heads = architecture.build()
            face_name, wanted = card["face_model"]["name"], card["face_model"]["fingerprint"]
        except (KeyError, TypeError, ValueError, RuntimeError, InputError) as error:
            raise InputError(
                path.with_suffix(".json"), f"is incomplete ({error})", "copy it again"
            ) from None
        for part, network in (("encoder", encoder), ("heads", heads)):
            own = {
                key.removeprefix(f"{part}."): tensor
                for key, tensor in tensors.items()
                if key.startswith(f"{part}.")
            }
            load_exactly(network, own, path)
        face_model = _face_model_of(path, face_name)
        if not same_fingerprint(fingerprint(face_model), wanted):
            raise InputError(
                path,
                f"was trained on another version of the face model {face_name}",
                "train again, or restore that version",
            )
        model = cls(encoder, heads, face_model, architecture, card=card, name=str(name_or_path))
        return model.to(device)

    def save(self, path, *, half=True):
        """Write the weights and their card.

        Parameters
        ----------
        path : path
            The ``.safetensors`` file; the card goes beside it with ``.json``. A face model that
            cannot be loaded by its name is written there, too.
        half : bool
            Whether to round the weights to half precision.

        Returns
        -------
        pathlib.Path
            The file.

        Raises
        ------
        InputError
            If the suffix is another one, or the file cannot be written.
        """
        path = Path(path)
        tensors = {
            f"{part}.{name}": tensor
            for part, network in (("encoder", self.encoder), ("heads", self.heads))
            for name, tensor in network.state_dict().items()
        }
        face_name = self.face_model.name
        if not _is_known(self.face_model):
            face_name = f"{path.stem}.face.npz"
            self.face_model.save(path.with_name(face_name))
        rest = {key: value for key, value in self.card.items() if key not in _OWN_KEYS}
        card = {
            "kind": KIND,
            "architecture": self.architecture.described(),
            "face_model": {
                "name": face_name,
                "topology": self.face_model.topology,
                "fingerprint": fingerprint(self.face_model),
            },
            "version": v2mlib.__version__,
            **rest,
        }
        if card.get("data", {}).get("kind") == "phantom":
            card["warning"] = PHANTOM_WARNING
        write_weights(path, tensors, card, half=half)
        return path

    def to(self, device):
        """Move the networks to a device.

        Parameters
        ----------
        device : torch.device or str
            Where to. Faces are decoded on the CPU.

        Returns
        -------
        Voice2Mesh
            The same object.
        """
        self.encoder.to(device)
        self.heads.to(device)
        return self

    def with_faces(self, name_or_model):
        """Decode into another face model.

        Parameters
        ----------
        name_or_model : str, path or MorphableModel
            A model with the same shape space (for instance with other colours or regions).

        Returns
        -------
        Voice2Mesh
            With the same networks.

        Raises
        ------
        InputError
            If coefficients mean other faces there.
        """
        is_model = hasattr(name_or_model, "decode")
        model = name_or_model if is_model else load_face_model(name_or_model)
        if not same_fingerprint(fingerprint(model), fingerprint(self.face_model)):
            raise InputError(
                f"face model {model.name!r}",
                f"cannot show what the weights {self.name!r} predict: they were trained on the "
                f"faces of {self.face_model.name!r}, whose coefficients mean nothing there",
                "train on a world made with that face model (v2m data phantom --faces ...)",
            )
        return Voice2Mesh(
            self.encoder, self.heads, model, self.architecture, card=self.card, name=self.name
        )

    def predict(self, path_or_samples, sample_rate=16_000):
        """Predict a face from a recording.

        The whole recording is heard, of any length: silence is removed, and the voice encoder
        takes the mean over all the speech. Less than 2 s of speech (`minimum_frames`) is
        repeated until there is as much.

        Parameters
        ----------
        path_or_samples : path, or array_like (sample,) in [-1, 1]
            A sound file, or one channel of samples.
        sample_rate : int, Hz
            Rate of the samples; files know their own.

        Returns
        -------
        Face
            The predicted face.

        Raises
        ------
        InputError
            If the recording cannot be read or holds less than 0.5 s of speech.
        """
        coefficients = self.coefficients([front_end(path_or_samples, sample_rate)])
        return self._faces(coefficients)[0]

    def predict_many(self, recordings, sample_rate=16_000):
        """Predict a face from each of many recordings.

        Parameters
        ----------
        recordings : sequence of path or array_like
            As in `predict`. Networks and faces work in batches.
        sample_rate : int, Hz
            Rate of all samples.

        Returns
        -------
        list of Face
            In order; the same as `predict` gives for each.

        Raises
        ------
        InputError
            If one of the recordings cannot be used.
        """
        recordings = list(recordings)
        matrices = [front_end(recording, sample_rate) for recording in recordings]
        return self._faces(self.coefficients(matrices))

    def coefficients(self, log_mels):
        """Predict coefficients from log-mel matrices.

        Parameters
        ----------
        log_mels : sequence of ndarray, (frame, mel=64), standard deviations
            Normalised, of any lengths.

        Returns
        -------
        Coefficients of ndarray of float32, (utterance, shape) and (utterance, expression)
            Standardised.
        """
        embeddings = torch.from_numpy(self.embed(log_mels)).to(self._device)
        with torch.inference_mode():
            return Coefficients(*(part.float().cpu().numpy() for part in self.heads(embeddings)))

    def embed(self, log_mels):
        """Embed log-mel matrices in batches of similar length.

        Parameters
        ----------
        log_mels : sequence of ndarray, (frame, mel=64), standard deviations
            Normalised, of any lengths.

        Returns
        -------
        ndarray of float32, (utterance, embedding=64)
            Voice embeddings of length 1.
        """
        least = self.architecture.minimum_frames
        matrices = [repeat_to(np.asarray(matrix, dtype=np.float32), least) for matrix in log_mels]
        embeddings = np.zeros((len(matrices), self.architecture.embedding_size), dtype=np.float32)
        for rows in _batches([len(matrix) for matrix in matrices]):
            n_frames = [len(matrices[row]) for row in rows]
            padded = torch.zeros(len(rows), max(n_frames), self.architecture.n_mels)
            for place, row in enumerate(rows):
                padded[place, : n_frames[place]] = torch.from_numpy(matrices[row])
            with torch.inference_mode():
                found = self.encoder(padded.to(self._device), torch.tensor(n_frames))
            embeddings[rows] = found.float().cpu().numpy()
        return embeddings

    @property
    def _device(self):
        return next(self.encoder.parameters()).device

    def _faces(self, coefficients):
        return [
            Face.from_coefficients(self.face_model, shape, expression)
            for shape, expression in zip(*coefficients, strict=True)
        ]


_OWN_KEYS = ("format", "kind", "architecture", "face_model", "version", "warning", "weights_sha256")


def _batches(lengths):
    """Rows in order of length, in batches of limited size."""
    rows, batch = np.argsort(lengths, kind="stable"), []
    for row in rows:
        if batch and (len(batch) + 1) * lengths[row] > _BATCH_FRAMES:
            yield batch
            batch = []
        batch.append(int(row))
    if batch:
        yield batch


def _weights_in(folder):
    """Find the weights in the folder of a training."""
    path = folder / "model.safetensors"
    if path.exists():
        return path
    unfinished = (folder / "last.pt").exists()
    raise InputError(
        folder,
        "is a training that is not finished" if unfinished else f"holds no {path.name}",
        "start the same command again to finish it" if unfinished else "give a .safetensors file",
    )


def _face_model_of(path, name):
    """Load the face model of some weights: by name, or the file beside them."""
    beside = path.with_name(name)
    return load_face_model(beside if name.endswith(".npz") and beside.exists() else name)


def _is_known(model):
    try:
        return same_fingerprint(fingerprint(load_face_model(model.name)), fingerprint(model))
    except InputError:
        return False
