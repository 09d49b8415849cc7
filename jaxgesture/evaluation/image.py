"""Metrics of images: numpy arrays in, float out."""

import numpy as np
from jaxtyping import Float


def psnr(
    image: Float[np.ndarray, "*b h w c"], reference: Float[np.ndarray, "*b h w c"]
) -> Float[np.ndarray, "*b"]:
    """Peak signal-to-noise ratio in dB of each image, for values in [0, 1].

    -10 log10 of the mean squared error over all pixels and channels; infinite for equal images.
    """
    error = np.mean((np.asarray(image, np.float64) - reference) ** 2, axis=(-3, -2, -1))
    with np.errstate(divide="ignore"):
        return -10.0 * np.log10(error)
