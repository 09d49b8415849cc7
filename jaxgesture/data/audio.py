"""The 35 hand-crafted audio features, 25 rows a second.

Computed with librosa at 12,800 Hz and a hop of 512 samples, on the whole clip at once (the dB
floor, the tuning and the beats depend on all of it):

| columns | feature                                                                    |
|---------|----------------------------------------------------------------------------|
| 0       | onset strength: mean positive difference of the dB mel spectrum            |
| 1-20    | MFCC, 20 coefficients                                                      |
| 21-32   | chroma CENS, 12 pitch classes                                              |
| 33      | 1 at an onset peak                                                         |
| 34      | 1 at a beat; the tracker starts from the tempo of the clip at 22,050 Hz    |

Source: arXiv 2404.01862 (hand-crafted audio features of the motion diffusion model).
"""

import contextlib
import dataclasses
import math
import os
import tempfile
import warnings
from collections.abc import Iterator
from typing import Any, Protocol

import filelock
import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError
from jaxgesture.data.sound import replace_not_finite, resample

FRAME_RATE = 25
HOP = 512
SAMPLE_RATE = FRAME_RATE * HOP
AUDIO_SIZE = 35
# The name of these features in datasets and models.
BASELINE = "baseline-35"
COLUMNS: tuple[str, ...] = (
    "onset_strength",
    *(f"mfcc_{i}" for i in range(20)),
    *(f"chroma_{name}" for name in "c cs d ds e f fs g gs a as b".split()),
    "onset",
    "beat",
)

_TEMPO_RATE = 22050
# Held by the process that may compile librosa's functions.
_USER = os.getuid() if hasattr(os, "getuid") else 0
_COMPILING = os.path.join(tempfile.gettempdir(), f"jaxgesture-librosa-{_USER}.lock")
# The constant-Q transform needs a filter's length of signal; shorter clips get silence behind.
_SHORTEST = 1.0


def frame_count(samples: int, sample_rate: float) -> int:
    """Returns the number of video frames of a sound: floor(25 seconds + 0.5)."""
    return math.floor(samples / sample_rate * FRAME_RATE + 0.5)


def start_tempo(samples: Float[np.ndarray, "n"], sample_rate: int) -> float:
    """Returns the tempo, beats a minute, from which the beat tracker starts."""
    import librosa

    tempo = librosa.feature.tempo(
        y=resample(samples, sample_rate, _TEMPO_RATE), sr=_TEMPO_RATE, hop_length=HOP
    )
    return float(np.atleast_1d(tempo)[0])


def _compute(y: np.ndarray, start_bpm: float) -> np.ndarray:
    """Returns (1 + n // 512, 35) features of samples at 12,800 Hz."""
    import librosa

    timing: dict[str, Any] = {"sr": SAMPLE_RATE, "hop_length": HOP}
    envelope = librosa.onset.onset_strength(y=y, **timing)
    table = np.zeros((len(envelope), AUDIO_SIZE), np.float32)
    table[:, 0] = envelope
    table[:, 1:21] = librosa.feature.mfcc(y=y, n_mfcc=20, **timing).T
    if not y.any():
        # No pitch to find: tuning and energy normalisation have nothing to work on.
        return table
    table[:, 21:33] = librosa.feature.chroma_cens(y=y, **timing).T
    peaks = librosa.onset.onset_detect(onset_envelope=envelope, **timing)
    _, beats = librosa.beat.beat_track(
        onset_envelope=envelope, start_bpm=start_bpm, tightness=100, **timing
    )
    table[peaks, 33] = 1
    table[beats, 34] = 1
    return table


def checked(samples: Float[np.ndarray, "n"], sample_rate: int) -> Float[np.ndarray, "n"]:
    """Returns the samples as float32; what is not finite is replaced by 0 with a warning.

    Raises:
      UserError: no sample, not one channel, no floats, or a rate that is not positive.
    """
    signal = np.asarray(samples)
    if signal.ndim != 1 or not signal.size:
        raise UserError(
            f"audio must be one channel of at least one sample, not shape {signal.shape}; "
            "mix it to mono first"
        )
    if not np.issubdtype(signal.dtype, np.floating):
        raise UserError(f"audio must be float samples in [-1, 1], not {signal.dtype}; scale it")
    if not sample_rate > 0:
        raise UserError(f"the sample rate {sample_rate} must be above 0 Hz")
    return replace_not_finite(signal.astype(np.float32, copy=False), "audio")


_compiled = False


@contextlib.contextmanager
def one_process_first() -> Iterator[None]:
    """Lets one process at a time do this for the first time in its life.

    librosa's functions are compiled at their first use, and numba keeps the machine code beside
    them. Two processes that write there at once leave code that crashes every later process.
    """
    global _compiled
    if _compiled:
        yield
        return
    with filelock.FileLock(_COMPILING):
        yield
    _compiled = True


def features(
    samples: Float[np.ndarray, "n"],
    sample_rate: int,
    frames: int | None = None,
    *,
    start_bpm: float | None = None,
) -> Float[np.ndarray, "t 35"]:
    """Returns one row of 35 features for each video frame (see `COLUMNS`).

    Args:
      samples: mono, in about [-1, 1], of any length above 0.
      sample_rate: Hz; other rates than 12,800 are resampled.
      frames: rows to return; sound that is too short is continued by silence. None: as many as
        the sound lasts, floor(25 seconds + 0.5), at least one.
      start_bpm: tempo from which the beat tracker starts; None estimates it.

    Returns:
      (frames, 35) float32, finite.

    Raises:
      UserError: no sample, not one channel, or a rate that is not positive.
    """
    signal = checked(samples, sample_rate)
    rows = max(1, frame_count(signal.size, sample_rate)) if frames is None else int(frames)
    if rows < 1:
        raise UserError(f"{rows} frames of audio features were asked for; ask for at least one")
    needed = math.ceil(max(_SHORTEST, (rows - 1) / FRAME_RATE) * sample_rate)
    if signal.size < needed:
        signal = np.pad(signal, (0, needed - signal.size))
    with one_process_first(), warnings.catch_warnings():
        # librosa remarks on quiet clips that its tuning estimate had nothing to go by.
        warnings.filterwarnings("ignore", module="librosa", category=UserWarning)
        if start_bpm is None:
            start_bpm = start_tempo(signal, sample_rate)
        table = _compute(resample(signal, sample_rate, SAMPLE_RATE), start_bpm)
    return table[:rows]


class Extractor(Protocol):
    """Makes the audio features of a dataset.

    It can be pickled, so that other processes get it; what is large (a model) is loaded there.
    """

    @property
    def name(self) -> str:
        """What a dataset is marked with; features that differ have another name."""
        ...

    @property
    def size(self) -> int:
        """Columns of its features; the last 35 are `COLUMNS`."""
        ...

    def features(
        self, samples: Float[np.ndarray, "n"], sample_rate: int, frames: int
    ) -> Float[np.ndarray, "t a"]:
        """Returns one row for each of `frames` video frames, (frames, size) float32.

        Args and errors are those of `features` of this module.
        """
        ...


@dataclasses.dataclass(frozen=True)
class Baseline:
    """The 35 hand-crafted features."""

    name: str = dataclasses.field(default=BASELINE, init=False)
    size: int = dataclasses.field(default=AUDIO_SIZE, init=False)

    def features(
        self, samples: Float[np.ndarray, "n"], sample_rate: int, frames: int
    ) -> Float[np.ndarray, "t 35"]:
        """See `features` of this module."""
        return features(samples, sample_rate, frames)
