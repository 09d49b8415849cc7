"""How a synthetic presenter moves while speaking: the known stochastic rule of the corpus.

Lengths are fractions of the frame's side, x to the right, y down, z towards the camera. "Left" is
the speaker's left, which the camera sees on the right. With the score's loudness l(t) and beats
b_i:

    mouth       m(t) = g(l)(t - lag), g = Gaussian smoothing (22 ms) of l^0.85, lag per phrase
                drawn from [0, 40] ms; its width follows the vowel's rounding
    strokes     beat i carries a stroke with probability 0.92, by both hands (0.5), the left or the
                right (0.25 each), of a kind (beat 0.4, sweep 0.25, raise 0.2, gather 0.15) that
                gives target, direction and hand shape; amplitude 0.15 to 0.30. The stroke ends
                `lag` after b_i, lag drawn from [0, 120] ms; before it the hand is prepared
                opposite the stroke's direction, after it the hand holds for 0.08 to 0.3 s and
                retracts to rest unless its next stroke is near. Between keys: minimum jerk.
    head        a nod on each beat (Gaussian bump, 80 ms wide, 0 to 80 ms late), a new heading for
                each phrase, slow sway
    face        brows rise on 70 % of the beats; blinks every 1.5 to 4.5 s and at phrase ends; the
                gaze shifts every 1 to 3 s
    torso       breathing (0.004) and sway (0.006)
    pauses      both hands rest, low in front of the body

Arms are two bones of fixed length in three dimensions, solved from the wrist with the elbow drawn
outwards and down, and projected along z.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from jaxgesture.data.presenter.control import control_times, impulses, smooth
from jaxgesture.data.presenter.score import Score, envelope, generator

SHOULDER = np.array([0.172, 0.612])
"""Shoulder at rest: distance from the middle of the frame, and y."""

UPPER_ARM, FOREARM = 0.235, 0.215

ROUNDING = np.array([0.95, 1.02, 1.06, 0.78, 0.74, 0.92, 1.03])
"""Width of the mouth for each vowel, relative to the mouth at rest."""

_POLE = np.array([0.62, 0.75, -0.25])

# Columns of a hand's key: position (outwards from the middle, y, z), bend of the wrist against the
# forearm, turn (1 palm to the camera, -1 back of the hand), curl of thumb to little finger, spread.
_POSITION, _BEND, _TURN, _CURL, _SPREAD = slice(0, 3), 3, 4, slice(5, 10), 10
_REST = np.array([0.13, 0.865, 0.17, 0.0, -0.85, 0.3, 0.35, 0.4, 0.45, 0.5, 0.3])
_KINDS = ("beat", "sweep", "raise", "gather")
_SHAPES = {
    "open": (0.0, 0.0, 0.0, 0.05, 0.1, 1.0),
    "flat": (0.3, 0.05, 0.0, 0.05, 0.1, 0.25),
    "point": (0.7, 0.0, 0.9, 1.0, 1.0, 0.2),
    "pinch": (0.1, 0.55, 0.35, 0.25, 0.2, 0.8),
    "soft": (0.15, 0.2, 0.25, 0.35, 0.4, 0.6),
}


@dataclasses.dataclass(frozen=True)
class HandMotion:
    """One arm of a performance: projected joints, and the shape of the hand.

    Attributes:
        shoulder: (t, 2).
        elbow: (t, 2).
        wrist: (t, 2).
        direction: (t, 2) unit vector from the wrist towards the fingers.
        thumb_side: (t, 2) unit vector across the hand when the palm faces the camera.
        turn: (t,) 1 palm to the camera, 0 edge on, -1 back of the hand.
        curl: (t, 5) in [0, 1], thumb to little finger.
        spread: (t,) in [0, 1].
    """

    shoulder: Float[np.ndarray, "t 2"]
    elbow: Float[np.ndarray, "t 2"]
    wrist: Float[np.ndarray, "t 2"]
    direction: Float[np.ndarray, "t 2"]
    thumb_side: Float[np.ndarray, "t 2"]
    turn: Float[np.ndarray, " t"]
    curl: Float[np.ndarray, "t 5"]
    spread: Float[np.ndarray, " t"]


@dataclasses.dataclass(frozen=True)
class Motion:
    """A performance without looks; every array has one row a frame.

    Attributes:
        loudness: (t,) smoothed loudness of the speech in [0, 1].
        mouth: (t,) opening in [0, 1].
        mouth_width: (t,) relative width.
        yaw: (t,) sideways shift of the features that turn with the head.
        pitch: (t,) downward shift of the same.
        roll: (t,) tilt of the head, radians.
        head: (t, 2) shift of the head.
        brow: (t,) rise of the eyebrows.
        blink: (t,) 0 open, 1 closed.
        gaze: (t, 2) shift of the irises.
        torso: (t, 2) shift of the torso.
        left: the speaker's left arm.
        right: the speaker's right arm.
    """

    loudness: Float[np.ndarray, " t"]
    mouth: Float[np.ndarray, " t"]
    mouth_width: Float[np.ndarray, " t"]
    yaw: Float[np.ndarray, " t"]
    pitch: Float[np.ndarray, " t"]
    roll: Float[np.ndarray, " t"]
    head: Float[np.ndarray, "t 2"]
    brow: Float[np.ndarray, " t"]
    blink: Float[np.ndarray, " t"]
    gaze: Float[np.ndarray, "t 2"]
    torso: Float[np.ndarray, "t 2"]
    left: HandMotion
    right: HandMotion


def move(score: Score, seed: int, times: Float[np.ndarray, " t"]) -> Motion:
    """Draws the motion of a score at the given times in seconds."""
    grid = control_times(score.seconds)

    def sample(signal: np.ndarray) -> np.ndarray:
        if signal.ndim == 1:
            return np.interp(times, grid, signal)
        return np.stack([np.interp(times, grid, column) for column in signal.T], axis=1)

    rng = generator(seed, 5)
    beats = score.all_beats
    strength = score.level[score.stressed]
    loud = envelope(score)
    mouth = smooth(loud**0.85, 0.022)
    lags = generator(seed, 6).uniform(0, 0.04, len(score.phrase_spans) + 1)
    lag = lags[np.searchsorted(score.phrase_spans[:, 0], grid)]
    mouth = np.interp(grid - lag, grid, mouth)
    width = np.interp(grid, score.onset + 0.5 * score.duration, ROUNDING[score.vowel])

    # One row a beat, so that a longer performance draws the same for its first beats.
    late, size = generator(seed, 7).uniform((0.0, 0.5), (0.08, 1.2), (len(beats), 2)).T
    nod = impulses(beats + late, strength * size, score.seconds, 0.08)
    chance, rise = generator(seed, 8).uniform((0.0, 0.6), (1.0, 1.1), (len(beats), 2)).T
    brow = impulses(beats, (chance < 0.7) * rise, score.seconds, 0.11)
    sway = [_wander(grid, rng) for _ in range(6)]
    heading = _holds(grid, score.phrase_spans[:, 0], generator(seed, 9), 0.4)
    gaze_rng = generator(seed, 10)
    shifts = np.cumsum(gaze_rng.uniform(1.0, 3.0, int(score.seconds) + 4))
    gaze = np.stack([_holds(grid, shifts, generator(seed, 14, i), 0.06) for i in range(2)], axis=1)
    breath = np.sin(2 * np.pi * (0.27 * grid + rng.random()))

    torso = np.stack([0.006 * sway[0], 0.004 * breath], axis=1)
    head = torso * 0.8 + np.stack([0.008 * sway[1], 0.004 * sway[2] + 0.011 * nod], axis=1)
    return Motion(
        loudness=np.clip(sample(smooth(loud, 0.02)), 0.0, 1.0),
        mouth=np.clip(sample(mouth), 0.0, 1.0),
        mouth_width=sample(smooth(width, 0.03)),
        yaw=sample(0.012 * heading + 0.006 * sway[3]),
        pitch=sample(0.010 * nod + 0.003 * sway[4]),
        roll=sample(0.05 * sway[5] - 0.05 * heading),
        head=sample(head),
        brow=sample(0.016 * np.minimum(brow, 1.2)),
        blink=np.clip(sample(1.25 * _blinks(score, seed)), 0.0, 1.0),
        gaze=sample(gaze * np.array([0.006, 0.003])),
        torso=sample(torso),
        **_arms(score, seed, times, sample(torso)),
    )


def _wander(grid: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A slow wander of unit size: three sines, so that its past does not depend on its length."""
    rates = rng.uniform(0.08, 0.45, 3)
    phases = rng.uniform(0, 2 * np.pi, 3)
    return np.sin(2 * np.pi * rates * grid[:, None] + phases).sum(axis=1) / 1.8


def _holds(grid: np.ndarray, starts: np.ndarray, rng: np.random.Generator, ease: float):
    """A signal in [-1, 1] that jumps (eased over `ease` s) to a new level at each start."""
    levels = rng.uniform(-1.0, 1.0, len(starts) + 1)
    return smooth(levels[np.searchsorted(starts, grid)], ease / 2)


def _blinks(score: Score, seed: int) -> np.ndarray:
    rng = generator(seed, 11)
    regular = np.cumsum(rng.uniform(1.5, 4.5, int(score.seconds) + 4))
    ends = score.phrase_spans[:, 1]
    ends = ends[generator(seed, 15).random(len(ends)) < 0.5] + 0.1
    times = np.concatenate([regular, ends])
    return np.minimum(impulses(times, np.ones(len(times)), score.seconds, 0.045), 1.0)


@dataclasses.dataclass(frozen=True)
class _Stroke:
    end: float
    duration: float
    hold: float
    before: np.ndarray
    target: np.ndarray
    phrase: int


def _arms(score: Score, seed: int, times: np.ndarray, torso: np.ndarray) -> dict[str, HandMotion]:
    keys: dict[str, list[_Stroke]] = {"left": [], "right": []}
    phrases = score.phrase[score.stressed]
    for i, beat in enumerate(score.all_beats):
        rng = generator(seed, 12, i)
        if rng.random() > 0.92:
            continue
        hands = ("both", "left", "right")[int(rng.choice(3, p=(0.5, 0.25, 0.25)))]
        kind = _KINDS[int(rng.choice(4, p=(0.4, 0.25, 0.2, 0.15)))]
        lag = rng.uniform(0.0, 0.12)
        duration, hold = rng.uniform(0.16, 0.24), rng.uniform(0.08, 0.3)
        before, target = _stroke(kind, rng)
        for hand in ("left", "right"):
            uneven = rng.normal(0.0, 0.012, 4)
            if hands in (hand, "both"):
                wobble = np.zeros(len(target))
                wobble[:2] = uneven[:2]
                late = abs(uneven[2])
                keys[hand].append(
                    _Stroke(
                        end=beat + lag + late,
                        duration=duration,
                        hold=hold,
                        before=before + wobble,
                        target=target + wobble,
                        phrase=int(phrases[i]),
                    )
                )
    out = {}
    for side, hand in ((1.0, "left"), (-1.0, "right")):
        rng = generator(seed, 13, int(side > 0))
        key_times, values = _key_frames(keys[hand], rng)
        pose = _minimum_jerk(times, key_times, values)
        out[hand] = _solve_arm(pose, side, torso)
    return out


def _stroke(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Keys of a stroke's beginning and end."""
    amplitude = rng.uniform(0.15, 0.30)
    u, v = rng.uniform(0, 1, 2)
    if kind == "beat":
        end = (0.13 + 0.13 * u, 0.70 + 0.09 * v, 0.2)
        start = (end[0] + 0.04 * (v - 0.3), end[1] - 0.9 * amplitude, 0.17)
        shape, bend, turn = ("flat", "pinch", "point")[int(rng.integers(3))], 0.35, 0.45
    elif kind == "sweep":
        end = (0.285 + 0.065 * u, 0.62 + 0.12 * v, 0.08)
        start = (end[0] - amplitude, end[1] + 0.05 * (0.5 - u), 0.2)
        shape, bend, turn = "open", -0.25, 0.95
    elif kind == "raise":
        end = (0.24 + 0.09 * u, 0.48 + 0.09 * v, 0.14)
        start = (end[0] - 0.07, end[1] + amplitude, 0.2)
        shape, bend, turn = ("open", "point", "soft")[int(rng.integers(3))], 0.05, 0.9
    else:
        end = (0.075 + 0.04 * u, 0.68 + 0.08 * v, 0.22)
        start = (end[0] + amplitude, end[1] - 0.05, 0.14)
        shape, bend, turn = "soft", 0.25, 0.5
    tail = np.array([bend, turn, *_SHAPES[shape]])
    eased = tail.copy()
    eased[0] -= 0.25
    return np.concatenate([start, eased]), np.concatenate([end, tail])


def _key_frames(strokes: list[_Stroke], rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Key times and values of one hand; between strokes far apart the hand goes to rest."""
    times, values = [-10.0], [_REST]
    for stroke, following in zip(strokes, [*strokes[1:], None], strict=True):
        prepare = rng.uniform(0.24, 0.36)
        jitter = rng.normal(0.0, 0.008, 2)
        begin = stroke.end - stroke.duration - prepare
        if begin > times[-1]:
            times.append(begin)
            values.append(values[-1])
        ready = max(stroke.end - stroke.duration, times[-1] + 0.12)
        times += [ready, max(stroke.end, ready + 0.1)]
        values += [stroke.before, stroke.target]
        times.append(times[-1] + stroke.hold)
        values.append(stroke.target)
        # Across a pause a hand goes to rest whenever there is time to get there and back.
        pause = following is None or following.phrase != stroke.phrase
        spare = np.inf if following is None else following.end - times[-1]
        if spare > (0.85 if pause else 1.3):
            rest = _REST.copy()
            rest[:2] += jitter
            times.append(times[-1] + rng.uniform(0.36, 0.5))
            values.append(rest)
    times.append(times[-1] + 1e4)
    values.append(values[-1])
    return np.asarray(times), np.asarray(values)


def _minimum_jerk(times: np.ndarray, keys: np.ndarray, values: np.ndarray) -> np.ndarray:
    row = np.clip(np.searchsorted(keys, times, side="right") - 1, 0, len(keys) - 2)
    u = np.clip((times - keys[row]) / (keys[row + 1] - keys[row]), 0.0, 1.0)
    ease = (u**3 * (10.0 - 15.0 * u + 6.0 * u * u))[:, None]
    return values[row] + ease * (values[row + 1] - values[row])


def _solve_arm(pose: np.ndarray, side: float, torso: np.ndarray) -> HandMotion:
    """Two-bone inverse kinematics in mirrored coordinates (outwards, y, z), then projection."""
    frames = len(pose)
    shoulder = np.broadcast_to(np.array([SHOULDER[0], SHOULDER[1], 0.0]), (frames, 3))
    reach = pose[:, _POSITION] - shoulder
    distance = np.linalg.norm(reach, axis=1, keepdims=True)
    axis = reach / distance
    distance = np.clip(distance, abs(UPPER_ARM - FOREARM) + 0.02, 0.995 * (UPPER_ARM + FOREARM))
    along = (distance**2 + UPPER_ARM**2 - FOREARM**2) / (2 * distance)
    height = np.sqrt(np.maximum(UPPER_ARM**2 - along**2, 0.0))
    pole = _POLE - axis * (axis @ _POLE)[:, None]
    pole /= np.linalg.norm(pole, axis=1, keepdims=True)
    elbow = shoulder + axis * along + pole * height
    wrist = shoulder + axis * distance

    forearm = np.arctan2(wrist[:, 1] - elbow[:, 1], wrist[:, 0] - elbow[:, 0])
    angle = forearm - pose[:, _BEND]
    direction = np.stack([np.cos(angle), np.sin(angle)], axis=1)
    thumb = np.stack([direction[:, 1], -direction[:, 0]], axis=1)
    mirror = np.array([side, 1.0])
    origin = np.array([0.5, 0.0])

    def project(point: np.ndarray) -> np.ndarray:
        return origin + point[:, :2] * mirror + torso

    return HandMotion(
        shoulder=project(shoulder),
        elbow=project(elbow),
        wrist=project(wrist),
        direction=direction * mirror,
        thumb_side=thumb * mirror,
        turn=pose[:, _TURN],
        curl=np.clip(pose[:, _CURL], 0.0, 1.0),
        spread=np.clip(pose[:, _SPREAD], 0.0, 1.0),
    )
