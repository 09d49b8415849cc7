"""The presenter's mouth: its outline, and how far it is open as measured from pixels.

Nothing else of a presenter has the colour of the mouth's interior, so that its area can be counted
in frames redrawn by a network, where no outline is known.
"""

import numpy as np
from jaxtyping import Float

INTERIOR = (132, 6, 40)
"""The dark red inside an open mouth; nothing else of a presenter is as far from green."""
TONGUE = (206, 74, 92)
TEETH = (250, 246, 238)

HALF_WIDTH = 0.057
OPENING = 0.076
"""Height of the fully open mouth as a fraction of the frame."""
CENTRE_Y = 0.098
"""Height of the closed lips below the middle of the head."""
JAW_DROP = 0.036

_U = np.linspace(-1.0, 1.0, 15)
_EXCESS = float(INTERIOR[0] + INTERIOR[2] - 2 * INTERIOR[1])
# To find the mouth nothing else may count; around it, a lower threshold stands more blur.
_SEARCH_THRESHOLD = 70.0
_COUNT_THRESHOLD = 45.0
_MARGIN = 0.02


def lip_curves(
    opening: Float[np.ndarray, "*t"], width: Float[np.ndarray, "*t"]
) -> dict[str, Float[np.ndarray, "*t n 2"]]:
    """Curves of the mouth around its own centre, left to right.

    Args:
        opening: 0 closed to 1 wide open.
        width: relative width, 1 at rest.

    Returns:
        outer_top, inner_top, inner_bottom, outer_bottom, teeth, tongue; fractions of the frame.
    """
    opening = np.asarray(opening, dtype=float)[..., None]
    half = HALF_WIDTH * np.asarray(width, dtype=float)[..., None] * (1.0 - 0.06 * opening)
    x = half * _U
    arch = 1.0 - _U**2
    round_arch = np.sqrt(np.maximum(1.0 - np.abs(_U) ** 2.4, 0.0))
    corner = 0.006 * (1.0 - opening) * (_U**2 - 0.5) * -1.0
    bow = 0.0035 * np.exp(-(((np.abs(_U) - 0.25) / 0.2) ** 2))
    rise = 0.26 * OPENING * opening
    drop = 0.74 * OPENING * opening
    inner_top = corner - rise * round_arch**1.3
    inner_bottom = corner + drop * round_arch
    outer_top = inner_top - 0.008 * arch**0.7 - bow
    outer_bottom = inner_bottom + 0.013 * arch**0.8
    height = inner_bottom - inner_top
    teeth = inner_top + np.minimum(0.012 * arch**0.3 * np.minimum(opening * 3, 1.0), 0.34 * height)
    tongue = inner_bottom - np.minimum(
        0.022 * opening * np.maximum(1.0 - (_U / 0.68) ** 2, 0.0), 0.36 * height
    )
    curves = {
        "outer_top": outer_top,
        "inner_top": inner_top,
        "inner_bottom": inner_bottom,
        "outer_bottom": outer_bottom,
        "teeth": teeth,
        "tongue": tongue,
    }
    return {name: np.stack([x + 0 * y, y], axis=-1) for name, y in curves.items()}


def _interior_weight(frames: np.ndarray, threshold: float) -> np.ndarray:
    """Soft membership of each pixel in the colour of an open mouth, about 0 to 1.

    red + blue - 2 green is 160 inside the mouth and at most 64 elsewhere. Being linear in the
    pixel above its threshold, its sum hardly changes when a frame is blurred.
    """
    scale = 255.0 if np.issubdtype(frames.dtype, np.floating) else 1.0
    red, green, blue = (frames[..., i].astype(np.float32) for i in range(3))
    return np.maximum(scale * (red + blue - 2.0 * green) - threshold, 0.0) / (_EXCESS - threshold)


def find_lips(frames: np.ndarray) -> tuple[float, float, float, float]:
    """Where the mouth is in a clip: the place with most of its interior's colour over time.

    Args:
        frames: (t, s, s, 3) uint8, or float in [0, 1].

    Returns:
        x0, y0, x1, y1 in pixels.
    """
    from scipy.ndimage import uniform_filter1d

    size = frames.shape[1]
    weight = sum(
        _interior_weight(chunk, _SEARCH_THRESHOLD).sum(axis=0) for chunk in _chunks(frames)
    )
    score = np.asarray(weight)
    for axis, share in ((0, 0.09), (1, 0.13)):
        score = uniform_filter1d(score, max(1, round(share * size)), axis=axis, mode="constant")
    allowed = np.zeros_like(score)
    allowed[round(0.22 * size) : round(0.60 * size), round(0.28 * size) : round(0.72 * size)] = 1
    y, x = np.unravel_index(np.argmax(score * allowed), score.shape)
    half_w, half_h = 0.075 * size, 0.055 * size
    return (x + 0.5 - half_w, y + 0.5 - half_h, x + 0.5 + half_w, y + 0.5 + half_h)


def mouth_opening(
    frames: np.ndarray, lips_box: np.ndarray | tuple[float, ...] | None = None
) -> Float[np.ndarray, " t"]:
    """Measures how far the mouth is open from the pixels of a presenter, true or redrawn.

    The soft count of pixels near the interior's colour around the lips, as a share of the area of
    the fully open mouth.

    Args:
        frames: (t, s, s, 3) uint8, or float in [0, 1].
        lips_box: x0, y0, x1, y1 in pixels, (4,) for the clip or (t, 4); None searches for it.

    Returns:
        (t,) float32, about 0 (closed) to about 1 (wide open).

    Raises:
        ValueError: if the frames are not (t, s, s, 3) or the box has another shape.
    """
    if frames.ndim != 4 or frames.shape[-1] != 3:
        raise ValueError(f"frames must be (t, s, s, 3), not {frames.shape}")
    size = frames.shape[1]
    box = np.asarray(find_lips(frames) if lips_box is None else lips_box, dtype=float)
    if box.shape not in ((4,), (len(frames), 4)):
        raise ValueError(f"lips_box must be (4,) or ({len(frames)}, 4), not {box.shape}")
    boxes = np.broadcast_to(box, (len(frames), 4))
    margin = _MARGIN * size
    centre = np.arange(frames.shape[2]) + 0.5
    full = 1.3 * HALF_WIDTH * OPENING * size**2
    out, start = np.empty(len(frames), dtype=np.float32), 0
    for chunk in _chunks(frames):
        rows = slice(start, start + len(chunk))
        x0, y0, x1, y1 = (boxes[rows, i, None] for i in range(4))
        across = _soft_inside(centre, x0 - margin, x1 + margin)
        down = _soft_inside(centre, y0 - margin, y1 + margin)
        weight = _interior_weight(chunk, _COUNT_THRESHOLD)
        out[rows] = np.einsum("thw,th,tw->t", weight, down, across) / full
        start += len(chunk)
    return out


def _soft_inside(centre: np.ndarray, low: np.ndarray, high: np.ndarray) -> np.ndarray:
    return np.clip(np.minimum(centre[None, :] - low, high - centre[None, :]) + 0.5, 0.0, 1.0)


def _chunks(frames: np.ndarray, length: int = 64):
    return (frames[i : i + length] for i in range(0, len(frames), length))
