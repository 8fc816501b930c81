"""A synthetic population whose faces and voices are linked by a known, adjustable law."""

import dataclasses
import functools

import numpy as np
import pandas as pd

from v2mlib.checks import InputError
from v2mlib.phantom.attributes import (
    STATURE,
    VOICE_ATTRIBUTES,
    attribute_table,
    session_noise_ratio,
    to_physical,
)
from v2mlib.phantom.corpus import BASE_VOICES
from v2mlib.phantom.law import build_law
from v2mlib.phantom.names import TEST_INITIALS, TRAIN_INITIALS, balanced_sexes, invent_names
from v2mlib.phantom.speakers import (
    BASE_VOICE,
    FEATURES,
    LATENTS,
    PEOPLE,
    VOICE_SEX,
    Speakers,
    stream,
)
from v2mlib.phantom.speech import SpeechConfig

#: Share of the training names whose identities are kept for validation.
VALIDATION_SHARE = 0.15


@dataclasses.dataclass(frozen=True)
class PopulationConfig:
    """What a population depends on.

    Attributes
    ----------
    n_identities : int
        People.
    n_test : int
        How many of them are named A-E.
    coupling : float, 0 to 1
        Factor on the within-sex link.
    seed : int
        Of everything random.
    world : {"default", "sex_only", "null"}
        What is left of the link.
    law : {"teaching", "published"}
        What the link is.
    face_model : str
        Name or path of the face model.
    """

    n_identities: int
    n_test: int
    coupling: float
    seed: int
    world: str
    law: str
    face_model: str

    def __post_init__(self):
        """Refuse sizes that cannot be."""
        if not 2 <= self.n_identities <= 50_000:
            raise InputError(
                f"n_identities={self.n_identities}", "is not possible", "choose 2 to 50,000"
            )
        if not 0 <= self.n_test < self.n_identities:
            raise InputError(
                f"n_test={self.n_test}", "is not possible", "leave at least one identity to train"
            )
        if self.seed < 0:
            raise InputError(f"seed={self.seed}", "is negative", "choose 0 or more")


class Population:
    """People with known faces and voices.

    Everything follows from the arguments, whatever the number of processes: the same bytes on
    x86-64 processors with and without their vector units, elsewhere the same to about 1e-6 in
    coefficients and latents and one step of 16 bits in sound. The first `n` of a larger
    population are other people, as the names are sorted; equal sizes with the same seed in
    different worlds, laws and couplings share names, sexes, sessions and the unlinked part.

    Parameters
    ----------
    n_identities : int
        People; half of them men within each split.
    coupling : float, 0 to 1
        Factor on every within-sex correlation between voice and face.
    seed : int
        Of everything random.
    world : {"default", "sex_only", "null"}
        `sex_only`: coupling 0, the voice still tells the sex. `null`: voices are dealt at
        random, so that they do not tell even the face's sex.
    law : {"teaching", "published"}
        `teaching` is deliberately strong; `published` as measured, far weaker.
    face_model : str, path or MorphableModel
        The face.
    n_test : int, optional
        Identities named A-E; half of all by default.

    Attributes
    ----------
    config : PopulationConfig
        The arguments.
    law : Law
        The law, mapped to the face model; `law.table` shows which lines are linked.
    face_model : MorphableModel
        The face.
    identities : pandas.DataFrame
        `identity` ("id00001", in the order of names), `name`, `sex` ("m" or "f"), `split`
        ("train", "validation" from training names, "test").
    shape_coefficients : ndarray of float32, (identity, shape)
        Standardised.
    voices : pandas.DataFrame
        Per identity: `identity`, `voice_sex` (the face's sex but in the world `null`),
        `base_voice`, standardised `z_<attribute>`, and physical values with their unit in the
        name.

    Examples
    --------
    >>> people = Population(24, seed=1)
    >>> people.identities["split"].value_counts().to_dict()
    {'test': 12, 'train': 10, 'validation': 2}
    """

    def __init__(
        self,
        n_identities,
        coupling=1.0,
        seed=0,
        *,
        world="default",
        law="teaching",
        face_model="phantom",
        n_test=None,
    ):
        if isinstance(face_model, (str, bytes)) or hasattr(face_model, "__fspath__"):
            from v2mlib.faces import load_face_model

            self.face_model, name = load_face_model(face_model), str(face_model)
        else:
            self.face_model, name = face_model, face_model.name
        n_identities = int(n_identities)
        self.config = PopulationConfig(
            n_identities=n_identities,
            n_test=n_identities // 2 if n_test is None else int(n_test),
            coupling=float(coupling),
            seed=int(seed),
            world=world,
            law=law,
            face_model=name,
        )
        self.law = build_law(self.face_model, law, world=world, coupling=coupling)
        self.identities = self._invite()
        self._sex = np.where(self.identities["sex"] == "m", 1.0, -1.0)
        normals = self._rng(LATENTS).standard_normal(
            (n_identities, len(VOICE_ATTRIBUTES) + 1 + self.law.n_shape)
        )
        self._latents, body, rest = np.split(normals, [4, 5], axis=1)
        body = body[:, 0]
        self.shape_coefficients = self.law.coefficients(
            self._sex, self._latents, body, rest
        ).astype(np.float32)
        self._voice_sex = self._sex
        if world == "null":
            self._voice_sex = balanced_sexes(n_identities, self._rng(VOICE_SEX))
        self.voices = self._cast(self.law.stature(self._latents, body))
        self._photographers = {}

    def __repr__(self):
        """Name the arguments."""
        settings = ", ".join(f"{k}={v!r}" for k, v in dataclasses.asdict(self.config).items())
        return f"Population({settings})"

    def __len__(self):
        """Count the people."""
        return self.config.n_identities

    def _rng(self, *key):
        return stream(self.config.seed, *key)

    def _invite(self):
        """Names, sexes and splits; the sexes are balanced within each split."""
        rng, n_test = self._rng(PEOPLE), self.config.n_test
        n_train = self.config.n_identities - n_test
        names = invent_names(n_test, TEST_INITIALS, rng) + invent_names(
            n_train, TRAIN_INITIALS, rng
        )
        n_validation = min(round(VALIDATION_SHARE * n_train), n_train - 1)
        roles = np.array(["validation"] * n_validation + ["train"] * (n_train - n_validation))
        sexes = np.concatenate(
            [balanced_sexes(n, rng) for n in (n_validation, n_train - n_validation)]
        )
        order = rng.permutation(n_train)
        return pd.DataFrame(
            {
                "identity": [f"id{number:05d}" for number in range(1, len(names) + 1)],
                "name": names,
                "sex": np.where(
                    np.concatenate([balanced_sexes(n_test, rng), sexes[order]]) > 0, "m", "f"
                ),
                "split": ["test"] * n_test + roles[order].tolist(),
            }
        )

    def _cast(self, stature):
        """Voices as a table."""
        male = self._voice_sex > 0
        draws = self._rng(BASE_VOICE).random(len(self))
        base = [
            list(BASE_VOICES["m" if is_male else "f"])[int(draw * 4)]
            for is_male, draw in zip(male, draws, strict=True)
        ]
        table = attribute_table()
        voices = {
            "identity": self.identities["identity"],
            "voice_sex": np.where(male, "m", "f"),
            "base_voice": base,
        }
        voices |= {f"z_{name}": self._latents[:, i] for i, name in enumerate(VOICE_ATTRIBUTES)}
        voices[f"z_{STATURE}"] = stature
        physical = to_physical(self._latents, male)
        voices |= {table.at[name, "column"]: physical[:, i] for i, name in
                   enumerate(VOICE_ATTRIBUTES)}  # fmt: skip
        tall = to_physical(stature[:, None], self._sex > 0, (STATURE,))[:, 0]
        return pd.DataFrame(voices | {table.at[STATURE, "column"]: tall})

    def row(self, identity):
        """Find an identity's row.

        Parameters
        ----------
        identity : str or int
            "id00007", or the row number.

        Returns
        -------
        int
            Row of `identities`, `voices`, `shape_coefficients`.

        Raises
        ------
        InputError
            If there is no such identity.
        """
        if isinstance(identity, str):
            if identity in self._rows:
                return self._rows[identity]
        elif 0 <= int(identity) < len(self):
            return int(identity)
        raise InputError(
            f"identity {identity!r}",
            "is not in this population",
            f"choose id00001 to id{len(self):05d}, or a row number",
        )

    @functools.cached_property
    def _rows(self):
        return {identity: row for row, identity in enumerate(self.identities["identity"])}

    def conditional_mean(self):
        """Best guess of each face from its voice: E[coefficients | vocal anatomy, sex].

        Returns
        -------
        ndarray of float32, (identity, shape)
            The ceiling's predictor; in the world `null` zeros, the mean face.
        """
        return self.law.conditional_mean(self._voice_sex, self._latents).astype(np.float32)

    def sex_mean(self):
        """Mean face of each person's sex.

        Returns
        -------
        ndarray of float32, (identity, shape)
            Plus or minus `law.half_difference`.
        """
        return np.outer(self._sex, self.law.half_difference).astype(np.float32)

    def latents_as_features(self, n_utterances=1):
        """Voice features without audio, for simulations: latents with session noise.

        Parameters
        ----------
        n_utterances : int
            Per identity; 0 gives the noise-free latents.

        Returns
        -------
        ndarray, (identity, utterance, feature=5)
            Four standardised attributes and the voice's sex (+1, -1). With 0 utterances, the
            utterance axis has length 1.
        """
        noise = self._rng(FEATURES).standard_normal((len(self), max(n_utterances, 1), 4))
        heard = self._latents[:, None] + (n_utterances > 0) * session_noise_ratio() * noise
        sex = np.broadcast_to(self._voice_sex[:, None, None], (*heard.shape[:2], 1))
        return np.concatenate([heard, sex], axis=2)

    def speakers(self, config=None):
        """Take the voices alone, as a process that only speaks needs them.

        Parameters
        ----------
        config : SpeechConfig, optional
            The recordings.

        Returns
        -------
        Speakers
            By row instead of identity.
        """
        return Speakers(self.voices, self.config.seed, config or SpeechConfig())

    def utterance(self, identity, utterance, *, config=None):
        """What is said in an utterance and how, before any sound is made.

        Parameters
        ----------
        identity : str or int
            Who.
        utterance : int
            Which, from 0; any number.
        config : SpeechConfig, optional
            The recording.

        Returns
        -------
        Utterance
            Sentences, session, room.
        """
        return self.speakers(config).utterance(self.row(identity), utterance)

    def speak(self, identity, utterance=0, *, config=None):
        """Speak.

        Parameters
        ----------
        identity : str or int
            Who.
        utterance : int
            Which, from 0; any number.
        config : SpeechConfig, optional
            The recording.

        Returns
        -------
        ndarray of float32, (sample,)
            16 kHz mono in [-1, 1]; 4 s by default.
        """
        return self.speakers(config).speak(self.row(identity), utterance)

    def phones(self, identity, utterance=0, *, config=None):
        """When each phone of an utterance is heard.

        Parameters
        ----------
        identity : str or int
            Who.
        utterance : int
            Which, from 0.
        config : SpeechConfig, optional
            The recording.

        Returns
        -------
        pandas.DataFrame
            `start_s`, `end_s`, `phone` (IPA; empty for silence).
        """
        return self.speakers(config).phones(self.row(identity), utterance)

    def photograph(self, identity, photo=0, *, config=None):
        """Take a photograph.

        Parameters
        ----------
        identity : str or int
            Whom.
        photo : int
            Which, from 0; any number.
        config : PhotoConfig, optional
            The camera.

        Returns
        -------
        Photo
            Image, landmarks in pixels, pose and expression.
        """
        from v2mlib.phantom.photos import PhotoConfig, Photographer

        row, config = self.row(identity), config or PhotoConfig()
        if config not in self._photographers:
            self._photographers[config] = Photographer(self.face_model, self.config.seed, config)
        return self._photographers[config].take(self.shape_coefficients[row], row, photo)
