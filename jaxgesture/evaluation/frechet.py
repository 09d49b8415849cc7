"""Frechet distance of two sets of features, as Gaussians (Dowson & Landau 1982).

    d = |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)

with means m and unbiased covariances S. With any factors S = F F^T the last trace is the sum of the
singular values of F1^T F2, which takes no root of a difference: it is accurate for covariances
without full rank too, and a set's distance to itself is 0 up to rounding.

Everything in float64. FVD, FGD and FID are this distance of different features.
"""

from typing import NamedTuple, Self

import numpy as np
from jaxtyping import Float

from jaxgesture.core.errors import UserError


class Gaussian(NamedTuple):
    """Mean and unbiased covariance of `count` rows."""

    mean: Float[np.ndarray, "d"]
    covariance: Float[np.ndarray, "d d"]
    count: int


class Moments:
    """Mean and covariance of rows that come piece by piece; memory does not grow with them.

    Pieces are merged by their own means (Chan, Golub & LeVeque 1979), so that little cancels.
    """

    def __init__(self) -> None:
        """No rows yet."""
        self.count = 0
        self._mean = np.zeros(0)
        self._scatter = np.zeros((0, 0))

    def add(self, rows: Float[np.ndarray, "n d"]) -> Self:
        """Takes further rows in; none is fine.

        Raises:
          UserError: rows of another length than before, or that are not finite.
        """
        rows = np.asarray(rows, np.float64)
        if not len(rows):
            return self
        if self.count and rows.shape[1] != len(self._mean):
            raise UserError(
                f"features of {rows.shape[1]} numbers after features of {len(self._mean)}; "
                "compare features of one kind"
            )
        if not np.isfinite(rows).all():
            raise UserError("features that are not finite numbers have no Frechet distance")
        mean = rows.mean(axis=0)
        centred = rows - mean
        scatter = centred.T @ centred
        if self.count:
            total = self.count + len(rows)
            step = mean - self._mean
            scatter += self._scatter + np.outer(step, step) * (self.count * len(rows) / total)
            mean = self._mean + step * (len(rows) / total)
        self.count += len(rows)
        self._mean, self._scatter = mean, scatter
        return self

    def gaussian(self) -> Gaussian:
        """Mean and covariance of all rows.

        Raises:
          UserError: fewer than two rows have no covariance.
        """
        if self.count < 2:
            raise UserError(
                f"{self.count} rows of features have no covariance; a Frechet distance needs at "
                "least two, and many more to mean something"
            )
        return Gaussian(self._mean.copy(), self._scatter / (self.count - 1), self.count)


def frechet_distance(a: Gaussian, b: Gaussian) -> float:
    """The distance of two Gaussians; 0 for equal ones, in squared units of the features.

    Raises:
      UserError: features of different lengths.
    """
    if len(a.mean) != len(b.mean):
        raise UserError(
            f"features of {len(a.mean)} and {len(b.mean)} numbers have no distance; compare "
            "features of one kind"
        )
    cross = np.linalg.svd(_factor(a.covariance).T @ _factor(b.covariance), compute_uv=False)
    traces = np.trace(a.covariance) + np.trace(b.covariance)
    distance = ((a.mean - b.mean) ** 2).sum() + traces - 2 * cross.sum()
    return float(max(distance, 0.0))


def frechet(a: Float[np.ndarray, "n d"], b: Float[np.ndarray, "m d"]) -> float:
    """The distance of two sets of features.

    Raises:
      UserError: see `Moments` and `frechet_distance`.
    """
    return frechet_distance(Moments().add(a).gaussian(), Moments().add(b).gaussian())


def _factor(covariance: Float[np.ndarray, "d d"]) -> Float[np.ndarray, "d d"]:
    """F with F F^T = covariance; eigenvalues that are only rounding are 0."""
    values, vectors = np.linalg.eigh(covariance)
    noise = np.finfo(np.float64).eps * len(values) * np.abs(values).max(initial=0.0)
    return vectors * np.sqrt(np.where(values > noise, values, 0.0))
