"""The 35 hand-crafted audio features of a long recording, in memory that hardly grows with it.

They are those of `data.audio` on the whole recording at once: what depends on all of it (the dB
floor, the tuning, the tempo) is gathered in a first pass over the file, in blocks; a second pass
computes the chroma, whose filters reach less far than the margins of its blocks. What is kept of
the sound meanwhile are its mel spectra, 1.4 kB a frame of video.

Blocks and the whole recording at once give the same bits (10 minutes, one CPU).
"""

import functools
import math
import os
import warnings
from collections.abc import Iterable, Iterator
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import DataWarning, UserError
from jaxgesture.data import audio
from jaxgesture.data.sound import SILENCE, audio_blocks

HOP = audio.HOP
# Frames of a block, 41 s.
BLOCK = 1024
# The longest filter of the chroma lasts 1.6 s, its smoothing reaches 0.9 s, both to either side.
_CHROMA_MARGIN = 128 * HOP
_WINDOW = 2048
_TOP_DB = 80.0
# Peaks, full scale being 1: above the first the sound track is mostly clipped, as where integers
# were stored as floats; above the second the power spectra overflow.
_LOUD, _TOO_LOUD = 10.0, 1e12
# Of the tempo estimate, s.
_TEMPO_WINDOW = 8.0
_TEMPO_RATE = 22050
_BINS_PER_OCTAVE = 36


class Length(NamedTuple):
    """How long a sound is: samples, and their rate in Hz."""

    samples: int
    rate: int

    @property
    def frames(self) -> int:
        """Video frames, floor(25 seconds + 0.5), at least one."""
        return max(1, audio.frame_count(self.samples, self.rate))


def measured(path: str | os.PathLike[str]) -> Length:
    """Reads a sound track once for its length.

    Raises:
      UserError: missing, no sound file, no audio track, no sample that can be decoded, or samples
        beyond all measure. A silent track, one that is far too loud, and samples that are no
        numbers give a `DataWarning`.
    """
    samples = rate = 0
    peak = loudest = 0.0
    for block, block_rate in audio_blocks(path):
        samples, rate = samples + len(block), block_rate
        # Of the mix, as `read_audio` has it.
        peak = max(peak, float(np.abs(block.mean(axis=1)).max()))
        loudest = max(loudest, float(np.abs(block).max()))
    if loudest > _LOUD:
        problem = f"{path}: the sound reaches {loudest:.3g} where full scale is 1"
        if loudest > _TOO_LOUD:
            raise UserError(f"{problem}; it is damaged, or must be scaled to [-1, 1] first")
        warnings.warn(
            f"{problem}, and is clipped in a video; scale it to [-1, 1]", DataWarning, stacklevel=2
        )
    if peak < SILENCE:
        warnings.warn(
            f"{path} is silent: no speech will drive the motion", DataWarning, stacklevel=2
        )
    return Length(samples, rate)


def long_features(
    path: str | os.PathLike[str], length: Length, rows: int
) -> Float[np.ndarray, "t 35"]:
    """Returns `rows` rows of features of a file, as `data.audio.features` of its samples does.

    Args:
      path: a sound or video file.
      length: what `measured` found.
      rows: at least those of the sound; what follows it is silence.
    """
    import librosa

    padded = max(length.samples, math.ceil((rows - 1) / audio.FRAME_RATE * length.rate))
    source = functools.partial(_mono, path, padded)
    with warnings.catch_warnings():
        # What is wrong in the sound was said when it was measured.
        warnings.simplefilter("ignore", DataWarning)
        warnings.filterwarnings("ignore", module="librosa", category=UserWarning)
        slow = math.ceil(padded * audio.SAMPLE_RATE / length.rate)
        mel, pitches, magnitudes = _spectra(
            _resampled(source(), length.rate, audio.SAMPLE_RATE), slow, audio.SAMPLE_RATE
        )
        fast = math.ceil(padded * _TEMPO_RATE / length.rate)
        onsets, _ = _onsets(
            _spectra(_resampled(source(), length.rate, _TEMPO_RATE), fast, _TEMPO_RATE)[0], 0
        )
        start = float(_tempo(onsets, _TEMPO_RATE)[0])
        envelope, mfcc = _onsets(mel, 20)
        silent = not any(block.any() for block in mel)
        del mel
        table = np.zeros((len(envelope), audio.AUDIO_SIZE), np.float32)
        table[:, 0] = envelope
        table[:, 1:21] = mfcc
        if silent:
            return table[:rows]
        threshold = np.median(magnitudes) if len(magnitudes) else 0.0
        tuning = librosa.pitch_tuning(
            pitches[magnitudes >= threshold], bins_per_octave=_BINS_PER_OCTAVE
        )
        blocks = _resampled(source(), length.rate, audio.SAMPLE_RATE)
        for first, last, begin, samples in _pieces(blocks, slow, _CHROMA_MARGIN):
            chroma = librosa.feature.chroma_cens(
                y=samples, sr=audio.SAMPLE_RATE, hop_length=HOP, tuning=tuning
            )
            at = first - begin // HOP
            table[first:last, 21:33] = chroma[:, at : at + last - first].T
        timing: dict[str, Any] = {"sr": audio.SAMPLE_RATE, "hop_length": HOP}
        peaks = librosa.onset.onset_detect(onset_envelope=envelope, **timing)
        _, beats = librosa.beat.beat_track(
            onset_envelope=envelope,
            bpm=_tempo(envelope, audio.SAMPLE_RATE, start),
            tightness=100,
            **timing,
        )
        table[peaks, 33] = 1
        table[beats, 34] = 1
    return table[:rows]


def _mono(path: str | os.PathLike[str], padded: int) -> Iterator[np.ndarray]:
    """Yields the mix of a file's channels, then silence up to so many samples."""
    count = 0
    for block, _ in audio_blocks(path):
        count += len(block)
        yield block[:, 0] if block.shape[1] == 1 else block.mean(axis=1)
    while count < padded:
        more = min(padded - count, BLOCK * HOP)
        count += more
        yield np.zeros(more, np.float32)


def _resampled(blocks: Iterable[np.ndarray], rate: int, target: int) -> Iterator[np.ndarray]:
    """Yields blocks of sound at another rate, as `data.sound.resample` makes the whole."""
    if rate == target:
        yield from blocks
        return
    import soxr

    stream = soxr.ResampleStream(rate, target, 1, dtype="float32", quality="soxr_hq")
    for block in blocks:
        yield stream.resample_chunk(np.ascontiguousarray(block, np.float32))
    yield stream.resample_chunk(np.zeros(0, np.float32), last=True)


def _pieces(
    blocks: Iterator[np.ndarray], length: int, margin: int
) -> Iterator[tuple[int, int, int, np.ndarray]]:
    """Divides `length` samples into blocks of frames, a frame every `HOP` samples.

    Yields:
      (first, last, begin, samples): the samples from number `begin` on reach from `margin` before
      frame `first` to `margin` behind frame `last` - 1, as far as there are any.
    """
    frames = 1 + length // HOP
    held: list[np.ndarray] = []
    offset = end = 0
    for first in range(0, frames, BLOCK):
        last = min(first + BLOCK, frames)
        begin = max(0, HOP * first - margin)
        stop = min(length, HOP * (last - 1) + margin)
        while end < stop:
            # A resampler may end a sample early.
            block = next(blocks, None)
            held.append(np.zeros(stop - end, np.float32) if block is None else block)
            end += len(held[-1])
        joined = np.concatenate(held)[begin - offset :]
        held, offset = [joined], begin
        yield first, last, begin, joined[: stop - begin]


def _spectra(
    blocks: Iterator[np.ndarray], length: int, rate: int
) -> tuple[list[np.ndarray], np.ndarray, np.ndarray]:
    """Mel power spectra (128, frames) in blocks; frequency and magnitude of all pitches found."""
    import librosa

    half = _WINDOW // 2
    mels, pitches, magnitudes = [], [], []
    for first, last, begin, samples in _pieces(blocks, length, half):
        before = half - (HOP * first - begin)
        behind = HOP * (last - 1 - first) + _WINDOW - before - len(samples)
        samples = np.pad(samples, (before, behind))
        spectrum = np.abs(librosa.stft(samples, n_fft=_WINDOW, hop_length=HOP, center=False))
        mels.append(librosa.feature.melspectrogram(S=spectrum**2, sr=rate, n_fft=_WINDOW))
        if rate == audio.SAMPLE_RATE:
            pitch, magnitude = librosa.piptrack(S=spectrum, sr=rate, n_fft=_WINDOW)
            found = pitch > 0
            pitches.append(pitch[found])
            magnitudes.append(magnitude[found])
    none = [np.zeros(0, np.float32)]
    return mels, np.concatenate(pitches or none), np.concatenate(magnitudes or none)


def _onsets(
    mels: list[np.ndarray], coefficients: int
) -> tuple[Float[np.ndarray, " n"], Float[np.ndarray, "n c"]]:
    """Onset strength, and so many MFCC, of mel power spectra in blocks."""
    import librosa

    floor = max(float(librosa.power_to_db(mel, top_db=None).max()) for mel in mels) - _TOP_DB
    rises, mfccs = [], []
    previous = None
    for mel in mels:
        level = np.maximum(librosa.power_to_db(mel, top_db=None), floor)
        if coefficients:
            mfccs.append(librosa.feature.mfcc(S=level, n_mfcc=coefficients).T)
        joined = level if previous is None else np.concatenate([previous, level], axis=1)
        rises.append(np.maximum(0.0, np.diff(joined, axis=1)).mean(axis=0))
        previous = level[:, -1:]
    frames = sum(mel.shape[1] for mel in mels)
    # As librosa: a rise is the later frame's, and a window's sound is heard half a window late.
    envelope = np.concatenate([np.zeros(1 + _WINDOW // (2 * HOP)), *rises])[:frames]
    table = np.concatenate(mfccs) if mfccs else np.zeros((frames, 0), np.float32)
    return envelope.astype(np.float32), table


def _tempo(
    envelope: Float[np.ndarray, " n"], rate: int, start: float = 120.0
) -> Float[np.ndarray, " 1"]:
    """Tempo in beats a minute as `librosa.feature.tempo` finds it, the tempogram in blocks."""
    import librosa

    window = int(librosa.time_to_frames(_TEMPO_WINDOW, sr=rate, hop_length=HOP))
    padded = np.pad(envelope, window // 2, mode="linear_ramp", end_values=(0, 0))
    total = np.zeros(window)
    for first in range(0, len(envelope), BLOCK):
        last = min(first + BLOCK, len(envelope), len(padded) - window + 1)
        piece = padded[first : last + window - 1]
        total += librosa.feature.tempogram(
            onset_envelope=piece, sr=rate, hop_length=HOP, win_length=window, center=False
        ).sum(axis=1)
    mean = (total / len(envelope))[:, None]
    return np.atleast_1d(librosa.feature.tempo(tg=mean, sr=rate, hop_length=HOP, start_bpm=start))
