"""People who speak: all that utterances depend on, without their faces."""

import dataclasses

import numpy as np
import pandas as pd

from v2mlib.phantom.attributes import VOICE_ATTRIBUTES
from v2mlib.phantom.speech import SpeechConfig, plan_utterance, synthesise, utterance_phones

# Streams of random numbers, one per purpose; the identity's (and utterance's) row is appended.
PEOPLE, LATENTS, VOICE_SEX, BASE_VOICE, SPEECH, PHOTO, FEATURES, VIDEO = range(8)

_VIDEO_CHARACTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_"
_CLIPS_PER_VIDEO = 3


def stream(seed, *key):
    """Random numbers that depend on what they are for, not on what was drawn before.

    Parameters
    ----------
    seed : int
        Of the population.
    *key : int
        Purpose, identity, utterance.

    Returns
    -------
    numpy.random.Generator
        Independent of those with other keys.
    """
    return np.random.default_rng(np.random.SeedSequence(seed, spawn_key=key))


@dataclasses.dataclass(frozen=True)
class Speakers:
    """Voices of a population.

    Attributes
    ----------
    voices : pandas.DataFrame
        As `Population.voices`.
    seed : int
        Of the population.
    config : SpeechConfig
        The recordings.
    """

    voices: pd.DataFrame
    seed: int
    config: SpeechConfig = dataclasses.field(default_factory=SpeechConfig)

    def utterance(self, row, number):
        """Plan an utterance.

        Parameters
        ----------
        row : int
            Row of the identity.
        number : int
            Which utterance, from 0.

        Returns
        -------
        Utterance
            What is said and how.
        """
        voice = self.voices.iloc[row]
        return plan_utterance(
            np.array([voice[f"z_{name}"] for name in VOICE_ATTRIBUTES]),
            voice["voice_sex"] == "m",
            voice["base_voice"],
            stream(self.seed, SPEECH, row, number),
            self.config,
        )

    def speak(self, row, number):
        """Speak an utterance.

        Parameters
        ----------
        row : int
            Row of the identity.
        number : int
            Which utterance, from 0.

        Returns
        -------
        ndarray of float32, (sample,)
            16 kHz mono in [-1, 1].
        """
        return synthesise(self.utterance(row, number), self.config)

    def phones(self, row, number):
        """When each phone of an utterance is heard.

        Parameters
        ----------
        row : int
            Row of the identity.
        number : int
            Which utterance, from 0.

        Returns
        -------
        pandas.DataFrame
            `start_s`, `end_s`, `phone`.
        """
        return utterance_phones(self.utterance(row, number), self.config)

    def clip(self, row, number):
        """Where an utterance lies in a world's folder.

        Parameters
        ----------
        row : int
            Row of the identity.
        number : int
            Which utterance, from 0.

        Returns
        -------
        str
            `wav/<identity>/<video>/<clip>.wav`; a video holds a few clips and has a random name.
        """
        video, clip = divmod(number, _CLIPS_PER_VIDEO)
        letters = stream(self.seed, VIDEO, row, video).integers(len(_VIDEO_CHARACTERS), size=11)
        name = "".join(_VIDEO_CHARACTERS[i] for i in letters)
        return f"wav/{self.voices['identity'].iloc[row]}/{name}/{clip + 1:05d}.wav"
