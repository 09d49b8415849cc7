"""A linear probe: joints read out of motion features (Alain & Bengio 2016).

Ridge regression of standardised features, the penalty in units of the number of frames:

    W = argmin |X W - Y|^2 + n ridge |W|^2

It is fitted on true motion alone. Numbers that hardly move there count for little, whatever
generated motion has in them: no deviation is taken for less than a tenth of the usual one.
"""

import dataclasses

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError

# Of the root mean square of all deviations.
_FLOOR = 0.1


@dataclasses.dataclass(frozen=True)
class Probe:
    """A fitted probe; `Probe.fit` makes it."""

    mean: Float[np.ndarray, "d"]
    scale: Float[np.ndarray, "d"]
    weights: Float[np.ndarray, "d k"]
    bias: Float[np.ndarray, "k"]

    @classmethod
    def fit(
        cls,
        features: Float[np.ndarray, "n d"],
        targets: Float[np.ndarray, "n k"],
        *,
        ridge: float = 1e-3,
    ) -> "Probe":
        """Fits targets from features, one row a frame; rows with a target that is nan are left out.

        Raises:
          UserError: there are fewer than two frames with targets.
        """
        seen = np.isfinite(targets).all(axis=1)
        x = np.asarray(features, np.float64)[seen]
        y = np.asarray(targets, np.float64)[seen]
        if len(x) < 2:
            raise UserError(f"{len(x)} frames with known joints are too few to fit a probe on")
        mean, bias = x.mean(axis=0), y.mean(axis=0)
        deviation = x.std(axis=0)
        floor = max(_FLOOR * float(np.sqrt(np.mean(deviation**2))), 1e-12)
        scale = np.maximum(deviation, floor)
        z = (x - mean) / scale
        gram = z.T @ z + ridge * len(z) * np.eye(z.shape[1])
        return cls(mean, scale, np.linalg.solve(gram, z.T @ (y - bias)), bias)

    def __call__(self, features: Float[np.ndarray, "*n d"]) -> Float[np.ndarray, "*n k"]:
        """Reads targets out of features."""
        rows = (np.asarray(features, np.float64) - self.mean) / self.scale
        return rows @ self.weights + self.bias

    def r_squared(
        self, features: Float[np.ndarray, "n d"], targets: Float[np.ndarray, "n k"]
    ) -> Float[np.ndarray, "k"]:
        """Share of each target's variance that is read out; nan where it does not vary."""
        seen = np.isfinite(targets).all(axis=1)
        y = np.asarray(targets, np.float64)[seen]
        left = ((self(features[seen]) - y) ** 2).sum(axis=0)
        total = ((y - y.mean(axis=0)) ** 2).sum(axis=0)
        return np.where(total > 0, 1 - left / np.where(total > 0, total, 1), np.nan)
