"""Structural similarity (Wang et al. 2004), as scikit-image has it with a Gaussian window.

Per channel, with means m, population variances s and covariance s_ab under an 11-tap Gaussian of
sigma 1.5 (mirrored at the border) and values in [0, 1]:
    SSIM = (2 m_a m_b + C1) (2 s_ab + C2) / ((m_a^2 + m_b^2 + C1) (s_a + s_b + C2)),
    C1 = 0.01^2,   C2 = 0.03^2.
"""

import numpy as np
import scipy.ndimage
from jaxtyping import Float

from jaxgesture.core.errors import UserError

SIGMA = 1.5
RADIUS = 5  # of the window: 11 taps
C1, C2 = 0.01**2, 0.03**2


def ssim(
    image: Float[np.ndarray, "*b h w c"], reference: Float[np.ndarray, "*b h w c"]
) -> Float[np.ndarray, "*b"]:
    """Structural similarity of each image, for values in [0, 1]; 1 for equal images.

    The mean of `ssim_map` over all channels and over the pixels whose window lies inside.

    Raises:
      UserError: if the images are smaller than a window.
    """
    image, reference = np.broadcast_arrays(image, reference)
    inner = slice(RADIUS, -RADIUS)
    # One by one: the maps of a whole clip in float64 would not fit.
    values = np.empty(image.shape[:-3])
    for index in np.ndindex(values.shape):
        values[index] = ssim_map(image[index], reference[index])[inner, inner].mean()
    return values[()]


def ssim_map(
    image: Float[np.ndarray, "h w c"], reference: Float[np.ndarray, "h w c"]
) -> Float[np.ndarray, "h w c"]:
    """Structural similarity at each pixel and channel of one image, for values in [0, 1].

    Raises:
      UserError: if the image is smaller than a window.
    """
    size = 2 * RADIUS + 1
    if min(image.shape[:2]) < size:
        raise UserError(
            f"an image of {image.shape[0]} x {image.shape[1]} pixels is smaller than the window "
            f"of SSIM; use images of at least {size} x {size}"
        )
    a, b = np.asarray(image, np.float64), np.asarray(reference, np.float64)
    mean_a, mean_b = _blur(a), _blur(b)
    variance_a, variance_b = _blur(a * a) - mean_a**2, _blur(b * b) - mean_b**2
    covariance = _blur(a * b) - mean_a * mean_b
    numerator = (2 * mean_a * mean_b + C1) * (2 * covariance + C2)
    return numerator / ((mean_a**2 + mean_b**2 + C1) * (variance_a + variance_b + C2))


def _blur(x: np.ndarray) -> np.ndarray:
    radius = (RADIUS, RADIUS, 0)
    return scipy.ndimage.gaussian_filter(x, (SIGMA, SIGMA, 0), mode="reflect", radius=radius)
