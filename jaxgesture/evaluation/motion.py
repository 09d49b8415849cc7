"""Metrics of motion against speech: numpy arrays in, float out."""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float


def correlation(a: Float[np.ndarray, "t"], b: Float[np.ndarray, "t"]) -> float:
    """Pearson correlation of two signals, cut to the shorter; 0 where one is constant."""
    count = min(len(a), len(b))
    a, b = np.asarray(a[:count], np.float64), np.asarray(b[:count], np.float64)
    a, b = a - a.mean(), b - b.mean()
    power = np.sqrt((a @ a) * (b @ b))
    return float(a @ b / power) if power > 0 else 0.0


def own_and_other(
    responses: Sequence[Float[np.ndarray, "t"]], signals: Sequence[Float[np.ndarray, "t"]]
) -> tuple[float, float]:
    """How well each response follows its own signal, and how well the signals of the others.

    Args:
      responses: for each speech, a signal measured in its video (the opening of the mouth).
      signals: for each speech, what drives it (its loudness).

    Returns:
      mean correlation with the own signal, mean correlation with all other signals.
    """
    own = [correlation(r, s) for r, s in zip(responses, signals, strict=True)]
    other = [
        correlation(response, signal)
        for i, response in enumerate(responses)
        for j, signal in enumerate(signals)
        if i != j
    ]
    return float(np.mean(own)), float(np.mean(other))
