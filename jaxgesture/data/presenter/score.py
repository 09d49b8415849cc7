"""What a synthetic presenter says, and when: phrases, syllables, stressed beats and loudness.

A score depends on its seed alone, so that two speakers can say the same thing. Phrase `k` is drawn
from its own stream `(seed, k)`; a longer score therefore starts with the shorter one.

    phrases     of 5 to 15 syllables, 3 to 6 syllables a second, with pauses of 0.3 to 0.9 s
    beats       a stressed syllable every 0.5 to 1.2 s: louder, longer, higher
    envelope    the larger of the rises and falls of the syllables; valleys do not quite close
"""

import dataclasses

import numpy as np
from jaxtyping import Bool, Float, Int

from jaxgesture.data.presenter.control import CONTROL_RATE, control_times

VOWELS = 7
"""Number of vowels; see `presenter.voice.FORMANTS` for their order."""

_STRESS_DELAY = 0.05
# What comes after the end shapes what is before it: a hand rests or prepares its next stroke.
_LOOK_AHEAD = 4.0


@dataclasses.dataclass(frozen=True)
class Score:
    """Syllables in order of time, some beyond the end; all times in seconds.

    Attributes:
        seconds: length of the performance.
        onset: start of each syllable.
        duration: length of each syllable.
        level: peak loudness of each syllable in (0, 1].
        vowel: index of its vowel in [0, 7).
        stressed: whether a beat falls on it.
        fricative: strength in [0, 1] of the hiss that opens it; 0 is none.
        phrase: index of its phrase.
        phrase_spans: start and end of each phrase.
        phrase_rise: whether each phrase ends on a rising pitch.
    """

    seconds: float
    onset: Float[np.ndarray, " n"]
    duration: Float[np.ndarray, " n"]
    level: Float[np.ndarray, " n"]
    vowel: Int[np.ndarray, " n"]
    stressed: Bool[np.ndarray, " n"]
    fricative: Float[np.ndarray, " n"]
    phrase: Int[np.ndarray, " n"]
    phrase_spans: Float[np.ndarray, "p 2"]
    phrase_rise: Bool[np.ndarray, " p"]

    @property
    def all_beats(self) -> Float[np.ndarray, " b"]:
        """Times of the stressed beats, those beyond the end too: the syllables' loud onsets."""
        return self.onset[self.stressed] + _STRESS_DELAY

    @property
    def beats(self) -> Float[np.ndarray, " b"]:
        """Times of the stressed beats inside the performance."""
        return self.all_beats[self.all_beats < self.seconds]


def generator(seed: int, *names: int) -> np.random.Generator:
    """A named stream of random numbers; any integer, negative ones too, is a seed."""
    return np.random.Generator(np.random.PCG64([seed % (1 << 64), *names]))


def write_score(seed: int, seconds: float) -> Score:
    """Draws the score of `seconds` seconds of speech."""
    columns: list[list[np.ndarray]] = [[] for _ in range(7)]
    spans, rises = [], []
    time = float(generator(seed, 1).uniform(0.15, 0.4))
    index = 0
    while time < seconds + _LOOK_AHEAD:
        rng = generator(seed, 2, index)
        phrase = _phrase(rng, time)
        for column, values in zip(columns, phrase, strict=False):
            column.append(values)
        columns[6].append(np.full(len(phrase[0]), index))
        end = float(phrase[0][-1] + phrase[1][-1])
        spans.append((time, end))
        rises.append(bool(rng.random() < 0.3))
        time = end + float(rng.uniform(0.3, 0.9))
        index += 1
    onset, duration, level, vowel, stressed, fricative, number = (
        np.concatenate(column) for column in columns
    )
    return Score(
        seconds=seconds,
        onset=onset,
        duration=duration,
        level=level,
        vowel=vowel,
        stressed=stressed,
        fricative=fricative,
        phrase=number,
        phrase_spans=np.asarray(spans),
        phrase_rise=np.asarray(rises),
    )


def _phrase(rng: np.random.Generator, start: float) -> tuple[np.ndarray, ...]:
    """One phrase: onset, duration, level, vowel, stressed, fricative of its syllables."""
    count = int(rng.integers(5, 16))
    rate = rng.uniform(3.3, 5.2)
    duration = np.clip(rng.normal(1.0, 0.16, count) / rate, 0.17, 0.33)
    stressed = np.zeros(count, dtype=bool)
    wait = rng.uniform(0.0, 0.35)
    for i in range(count):
        if wait <= 0.0:
            stressed[i] = True
            duration[i] = min(1.3 * duration[i], 0.33)
            wait = rng.uniform(0.5, 1.2)
        wait -= duration[i]
    onset = start + np.concatenate([[0.0], np.cumsum(duration)[:-1]])
    # A speaker runs out of breath: unstressed syllables fade along the phrase.
    fade = np.linspace(1.0, 0.75, count)
    level = np.where(stressed, rng.uniform(0.82, 1.0, count), fade * rng.uniform(0.3, 0.6, count))
    vowel = rng.integers(0, VOWELS, count)
    fricative = np.where(rng.random(count) < 0.35, rng.uniform(0.3, 1.0, count), 0.0)
    return onset, duration, level, vowel, stressed, fricative


def envelope(score: Score) -> Float[np.ndarray, " c"]:
    """Loudness in [0, 1] at `control_times(score.seconds)`."""
    out = np.zeros(len(control_times(score.seconds)))
    width = int(0.7 * CONTROL_RATE)
    first = np.floor((score.onset - 0.05) * CONTROL_RATE).astype(int)
    rows = first[:, None] + np.arange(width)
    seconds = rows / CONTROL_RATE - score.onset[:, None]
    rise = _smoothstep(seconds / 0.07 + 0.25)
    length = score.duration[:, None]
    fall = 1.0 - _smoothstep((seconds - 0.42 * length) / (0.78 * length))
    values = score.level[:, None] * rise * fall
    inside = (rows >= 0) & (rows < len(out))
    np.maximum.at(out, rows[inside], values[inside])
    return out


def _smoothstep(u: np.ndarray) -> np.ndarray:
    u = np.clip(u, 0.0, 1.0)
    return u * u * (3.0 - 2.0 * u)
