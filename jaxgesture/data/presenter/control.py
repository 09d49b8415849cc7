"""Slow signals of a synthetic presenter: rows at one rate, bumps and smoothing on them."""

import math

import numpy as np
from jaxtyping import Float

CONTROL_RATE = 200
"""Rows a second of every slow signal (envelope, pitch, formants)."""


def control_times(seconds: float) -> Float[np.ndarray, " c"]:
    """Times of the control rows that cover `seconds`, with one second to spare."""
    return np.arange(math.ceil(seconds * CONTROL_RATE) + CONTROL_RATE) / CONTROL_RATE


def impulses(
    times: np.ndarray, weights: np.ndarray, seconds: float, sigma: float
) -> Float[np.ndarray, " c"]:
    """Sum of Gaussian bumps (peak = weight, width `sigma` s) at the control times."""
    out = np.zeros(len(control_times(seconds)))
    rows = np.rint(np.asarray(times) * CONTROL_RATE).astype(int)
    inside = (rows >= 0) & (rows < len(out))
    np.add.at(out, rows[inside], np.asarray(weights, dtype=float)[inside])
    bumps = smooth(out, sigma, edge="constant")
    return bumps * (sigma * CONTROL_RATE * math.sqrt(2.0 * math.pi))


def smooth(signal: np.ndarray, sigma: float, edge: str = "nearest") -> np.ndarray:
    """Gaussian smoothing of a control signal along its first axis; `sigma` in seconds."""
    from scipy.ndimage import gaussian_filter1d

    return gaussian_filter1d(signal, sigma * CONTROL_RATE, axis=0, mode=edge)
