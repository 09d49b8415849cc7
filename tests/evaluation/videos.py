"""Small sets of videos of the presenter, with landmarks and beats."""

import functools

import numpy as np

from jaxgesture.data import landmarks, presenter_landmarks
from jaxgesture.data.presenter import perform
from jaxgesture.evaluation.clip_scores import MOTION, POSE, VIDEO, Tools
from jaxgesture.generation.writer import VideoWriter

SIZE, SECONDS = 48, 3.0


@functools.cache
def play(seed, identity=0, size=SIZE, seconds=SECONDS):
    return perform(seed, identity, seconds, size)


def write(folder, name, clip, *, frames=None, fps=25, sound=True, marks=True, beats=True):
    """Writes one recording; returns its video."""
    target = folder / f"{name}.mp4"
    target.parent.mkdir(parents=True, exist_ok=True)
    audio = (clip.audio, clip.sample_rate) if sound else None
    frames = clip.frames if frames is None else frames
    with VideoWriter(target, frames.shape[1], fps, audio=audio, crf=4) as writer:
        writer.write(frames)
    if marks:
        arrays = presenter_landmarks.exact(clip)
        presenter_landmarks.write(target.with_suffix(landmarks.SUFFIX), arrays)
    if beats:
        lines = "".join(f"{beat:.3f}\n" for beat in clip.beats)
        target.with_suffix(".beats.txt").write_text(lines)
    return target


def true_set(folder, count=3, **options):
    """`count` clips by two speakers, each in a folder of its own."""
    for number in range(count):
        name = f"speaker{number % 2}/clip{number}"
        write(folder, name, play(number, number % 2), **options)
    return folder


def noisy_set(folder, sigma=20, count=3, **options):
    """The same clips with noise."""
    rng = np.random.default_rng(0)
    for number in range(count):
        clip = play(number, number % 2)
        noise = sigma * rng.standard_normal(clip.frames.shape)
        frames = np.clip(np.rint(clip.frames + noise), 0, 255).astype(np.uint8)
        write(folder, f"speaker{number % 2}/clip{number}", clip, frames=frames, **options)
    return folder


class Means:
    """Features that are the mean over windows, frames and pixels of each last axis."""

    label = "means"

    def __call__(self, windows):
        axes = tuple(range(1, windows.ndim - 1))
        return windows.astype(np.float64).mean(axis=axes)


TOOLS = Tools(size=SIZE, frames=10, features={VIDEO: Means(), POSE: Means(), MOTION: Means()})
