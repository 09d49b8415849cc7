"""How different gestures are from each other, and how far from the true ones.

Diversity (Liu et al., CVPR 2022, "HA2G"): the mean L1 distance of features and a permutation of
them. Feature distance: that of generated and true features in pairs. L1 diversity (Liu et al., CVPR
2024, "EMAGE"): how far joints are from their own mean.
"""

import numpy as np
from jaxtyping import Float, Int

from jaxgesture.core.errors import UserError


def diversity(
    features: Float[np.ndarray, "n d"], permutation: Int[np.ndarray, "n"] | None = None
) -> float:
    """Mean over pairs of different rows of the sum of absolute differences.

    Args:
      features: one row a window.
      permutation: the partner of each row, as HA2G draws 500 of them. None takes all pairs: in a
        sorted column the number i of n is larger than i others and smaller than n - 1 - i.

    Returns:
      nan for fewer than two rows.
    """
    features = np.asarray(features, np.float64)
    if permutation is not None:
        return float(np.abs(features - features[permutation]).sum(axis=1).mean())
    count = len(features)
    if count < 2:
        return float("nan")
    times = 2 * np.arange(count) - (count - 1)
    return float((times @ np.sort(features, axis=0)).sum() * 2 / (count * (count - 1)))


def feature_distance(generated: Float[np.ndarray, "n d"], true: Float[np.ndarray, "n d"]) -> float:
    """Mean over windows of the sum of absolute differences of generated and true features.

    Raises:
      UserError: not as many of the one as of the other.
    """
    if np.shape(generated) != np.shape(true):
        raise UserError(
            f"features {np.shape(generated)} and {np.shape(true)} make no pairs; give as many "
            "windows of both"
        )
    difference = np.asarray(generated, np.float64) - np.asarray(true, np.float64)
    return float(np.abs(difference).sum(axis=1).mean()) if len(difference) else float("nan")


def l1_diversity(positions: Float[np.ndarray, "t j k"]) -> float:
    """EMAGE's: sum over joints of the absolute distance from their mean over time, a frame."""
    positions = np.asarray(positions, np.float64)
    return float(np.abs(positions - positions.mean(axis=0)).sum() / len(positions))
