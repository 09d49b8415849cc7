"""The voice of a synthetic presenter: additive harmonics under moving formants, and hiss.

    carrier(s)  = sum_h  a_h(s) sin(h phi(s)),   phi' = 2 pi f0(s)
    a_h         = h^-tilt |R(h f0)|,  scaled so that the carrier has unit power at every moment
    R(f)        = product over formants (F, B) of  F^2 / sqrt((F^2 - f^2)^2 + (B f)^2)
    voice(s)    = 0.16 (loudness(s) carrier(s) + breath(s) + hiss(s))

The carrier's power does not depend on vowel or pitch, so the short-time loudness of the result is
the score's envelope. Pitch declines along a phrase, jumps on stressed syllables and falls or rises
at the phrase's end. Words come from the score; pitch and vocal tract come from the speaker.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from jaxgesture.data.presenter.control import CONTROL_RATE, control_times, impulses, smooth
from jaxgesture.data.presenter.score import Score, envelope, generator

SAMPLE_RATE = 16_000

FORMANTS = np.array(
    [
        [800.0, 1200.0, 2500.0],  # a
        [530.0, 1850.0, 2500.0],  # e
        [310.0, 2250.0, 3000.0],  # i
        [500.0, 900.0, 2450.0],  # o
        [340.0, 820.0, 2300.0],  # u
        [500.0, 1450.0, 2500.0],  # schwa
        [680.0, 1680.0, 2450.0],  # ae
    ]
)
_BANDWIDTHS = (85.0, 110.0, 160.0, 250.0)
_HARMONICS = 48
_LEVEL = 0.16
_BLOCK_SAMPLES = SAMPLE_RATE // CONTROL_RATE
_CHUNK_BLOCKS = 4_000


@dataclasses.dataclass(frozen=True)
class Voice:
    """A speaker's voice: middle pitch in Hz, scale of the formants, share of breath in [0, 1]."""

    pitch: float
    tract: float
    breath: float
    liveliness: float


def synthesise(score: Score, voice: Voice, seed: int) -> Float[np.ndarray, " n"]:
    """Speaks a score.

    Args:
        score: what to say.
        voice: who says it.
        seed: of the hiss and breath, so that it is the same for every speaker.

    Returns:
        float32 mono samples at 16 kHz in [-1, 1], `round(16000 * score.seconds)` of them.
    """
    samples = max(1, round(score.seconds * SAMPLE_RATE))
    loudness = envelope(score)
    pitch = _pitch(score, voice)
    formants = _formants(score, voice)
    amplitude = _harmonic_amplitudes(pitch, formants, loudness)
    carrier = _carrier(pitch, amplitude)[:samples]

    from scipy.signal import butter, sosfilt

    noise = generator(seed, 3).standard_normal(samples)
    hiss_filter = butter(2, (2800.0, 6800.0), "bandpass", fs=SAMPLE_RATE, output="sos")
    breath_filter = butter(2, (500.0, 3500.0), "bandpass", fs=SAMPLE_RATE, output="sos")
    hiss = 0.3 * _upsample(_hiss_envelope(score), samples) * sosfilt(hiss_filter, noise)
    gain = _upsample(loudness, samples)
    breath = voice.breath * gain * sosfilt(breath_filter, noise)
    room = 4e-4 * generator(seed, 4).standard_normal(samples)
    return np.clip(_LEVEL * (gain * carrier + breath + hiss) + room, -1.0, 1.0).astype(np.float32)


def _upsample(control: np.ndarray, samples: int) -> np.ndarray:
    return np.interp(
        np.arange(samples) / SAMPLE_RATE, np.arange(len(control)) / CONTROL_RATE, control
    )


def _hiss_envelope(score: Score) -> np.ndarray:
    return np.minimum(impulses(score.onset - 0.015, score.fricative, score.seconds, 0.022), 1.0)


def _pitch(score: Score, voice: Voice) -> np.ndarray:
    """Fundamental in Hz at the control times, from semitones around the speaker's middle."""
    times = control_times(score.seconds)
    knots, semitones = [], []
    for (start, end), rise in zip(score.phrase_spans, score.phrase_rise, strict=True):
        knots += [start, max(start + 0.01, end - 0.25), end]
        semitones += [2.5, -1.5, 2.5 if rise else -4.0]
    line = np.interp(times, knots, semitones)
    centre = score.onset + 0.45 * score.duration
    accents = impulses(
        centre[score.stressed], 4.5 * score.level[score.stressed], score.seconds, 0.09
    )
    ripple = impulses(centre, np.where(score.vowel % 2 == 0, 0.8, -0.4), score.seconds, 0.06)
    tremor = 0.12 * np.sin(2 * np.pi * 5.3 * times) + 0.08 * np.sin(2 * np.pi * 7.9 * times + 1.0)
    shape = smooth(line, 0.03) + accents + ripple
    return voice.pitch * 2.0 ** ((voice.liveliness * shape + tremor) / 12.0)


def _formants(score: Score, voice: Voice) -> np.ndarray:
    """(c, 3) formant frequencies in Hz, gliding from vowel to vowel through a neutral tract."""
    times = control_times(score.seconds)
    target = FORMANTS[score.vowel] * voice.tract
    start = score.onset + 0.3 * score.duration
    stop = score.onset + 0.75 * score.duration
    knots = np.stack([start, stop], axis=1).reshape(-1)
    tracks = [np.interp(times, knots, np.repeat(target[:, i], 2)) for i in range(3)]
    return smooth(np.stack(tracks, axis=1), 0.015)


def _harmonic_amplitudes(
    pitch: np.ndarray, formants: np.ndarray, loudness: np.ndarray
) -> np.ndarray:
    """(c, harmonics) amplitudes of unit total power."""
    order = np.arange(1, _HARMONICS + 1, dtype=np.float32)
    frequency = pitch.astype(np.float32)[:, None] * order
    # Soft speech is darker: the glottis closes more gently.
    tilt = 1.0 + 0.7 * (1.0 - loudness.astype(np.float32))[:, None]
    amplitude = order[None, :] ** -tilt
    fourth = np.full((len(pitch), 1), 3600.0)
    centres = np.concatenate([formants, fourth], axis=1).astype(np.float32)
    for i, bandwidth in enumerate(_BANDWIDTHS):
        centre = centres[:, i : i + 1]
        amplitude *= centre**2 / np.sqrt(
            (centre**2 - frequency**2) ** 2 + (bandwidth * frequency) ** 2
        )
    amplitude *= np.clip((7000.0 - frequency) / 1500.0, 0.0, 1.0)
    return amplitude / np.sqrt(0.5 * np.sum(amplitude**2, axis=1, keepdims=True))


def _carrier(pitch: np.ndarray, amplitude: np.ndarray) -> np.ndarray:
    """Sum of harmonics; sin(h phi) by the recurrence sin((h+1)x) = 2 cos x sin hx - sin((h-1)x)."""
    ramp = np.arange(_BLOCK_SAMPLES, dtype=np.float32) / _BLOCK_SAMPLES
    blocks = len(pitch) - 1
    instantaneous = pitch[:-1, None] + np.diff(pitch)[:, None] * ramp
    phase = np.cumsum(instantaneous.reshape(-1)) * (2 * np.pi / SAMPLE_RATE)
    phase = np.remainder(phase, 2 * np.pi).reshape(blocks, _BLOCK_SAMPLES)
    out = np.empty((blocks, _BLOCK_SAMPLES), dtype=np.float32)
    for first in range(0, blocks, _CHUNK_BLOCKS):
        chunk = slice(first, min(first + _CHUNK_BLOCKS, blocks))
        low = amplitude[chunk]
        slope = amplitude[first + 1 : first + 1 + len(low)] - low
        twice_cosine = 2.0 * np.cos(phase[chunk])
        before, sine = np.zeros_like(twice_cosine), np.sin(phase[chunk])
        total = np.zeros_like(twice_cosine)
        for h in range(_HARMONICS):
            total += sine * (low[:, h : h + 1] + slope[:, h : h + 1] * ramp)
            before, sine = sine, twice_cosine * sine - before
        out[chunk] = total
    return out.reshape(-1)
