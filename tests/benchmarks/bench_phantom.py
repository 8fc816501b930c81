"""Phantom speech: overlap-add on kept pulses beside Praat's *Change gender*, both to 16 kHz.

The two do the same to the same excerpt: formants, median pitch and duration. Praat's command
finds pitch and pulses anew in every call and resamples twice by sinc interpolation.
"""

import numpy as np
import parselmouth
from harness import Row
from parselmouth.praat import call

from v2mlib.phantom import Population, SpeechConfig
from v2mlib.phantom.corpus import BASE_RATE
from v2mlib.phantom.speech import excerpt, formant_ratio, move, stretch_factor


def rows():
    """Yield the comparison."""
    config, people = SpeechConfig(), Population(20, seed=0)
    plans = [people.utterance(row, 0) for row in range(8)]

    def ours():
        return [move(plan, config) for plan in plans]

    def praat(plan):
        samples, _ = excerpt(plan, (config.duration_s + 0.1) / stretch_factor(plan))
        sound = parselmouth.Sound(np.asarray(samples), BASE_RATE)
        ratio, stretch = formant_ratio(plan), stretch_factor(plan)
        moved = call(sound, "Change gender", 60, 400, ratio, plan.pitch_hz, 1.0, stretch)
        return moved.resample(16_000, 50).values[0]

    def peer():
        return [praat(plan) for plan in plans]

    seconds = len(plans) * config.duration_s
    yield Row(
        "move a voice, 8 clips of 4 s", ours, peer, "Praat Change gender", seconds, "s of speech"
    )
