"""Tiny videos and simulated raters."""

import json

import numpy as np

from jaxgesture.generation.writer import VideoWriter
from jaxgesture.study import kit

SYSTEMS = ("ours", "other", "truth")
QUESTIONS = tuple(question.name for question in kit.QUESTIONS)


def make_video(path, *, size=32, frames=12, sound=True, seed=0):
    """Half a second of noise."""
    rng = np.random.default_rng((frames, seed))
    audio = (0.1 * rng.standard_normal(16000 * frames // 25).astype(np.float32), 16000)
    with VideoWriter(path, size, 25, audio if sound else None) as writer:
        writer.write(rng.integers(0, 256, (frames, size, size, 3), np.uint8))
    return path


def make_systems(folder, clips=4, suffix=".mp4", systems=SYSTEMS):
    """Folders of the same clips, one a system, each with its own noise."""
    for number, system in enumerate(systems):
        (folder / system).mkdir()
        for clip in range(clips):
            make_video(folder / system / f"clip{clip}{suffix}", seed=number * clips + clip)
    return {system: folder / system for system in systems}


def answers_of(key, rater, rate, *, plan=None, finished="2026-05-01T12:00:00.000Z"):
    """What the page downloads for a rater; rate(system, clip, question) gives the numbers."""
    plan = key["plans"][(rater - 1) % len(key["plans"])] if plan is None else plan
    found = {}
    for token in plan:
        video = key["videos"][token]
        ratings = {q: int(rate(video["system"], video["clip"], q)) for q in QUESTIONS}
        found[token] = {"ratings": ratings, "plays": 1}
    return {
        "format": 1,
        "study": key["study"],
        "rater": str(rater),
        "plan": rater,
        "started": "2026-05-01T11:50:00.000Z",
        "finished": finished,
        "order": list(plan),
        "answers": found,
    }


def opinions(means, rng, spread=0.4):
    """A rater whose numbers have the mean of the system exactly, and a habit of his own."""
    habit = rng.uniform(-spread, spread)

    def rate(system, clip, question):
        value = means[system][question] + habit
        return int(np.floor(value)) + (rng.random() < value % 1)

    return rate


def write(folder, name, value):
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_text(value if isinstance(value, str) else json.dumps(value))
    return path
