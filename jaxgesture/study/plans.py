"""Which videos each rater of a study sees, so that systems and clips are shown equally often.

With S systems, C clips and L = lcm(S, C), rater r sees in slot k = 0 .. n-1

    clip (o_r + k) mod C   by system (t_r + k + floor(k / L)) mod S,

a Latin-square walk: any n consecutive slots hold each system, and each clip, equally often but for
one, and no video twice, as the pairs repeat only after S C slots. The offsets (o_r, t_r) of a rater
are those whose videos were shown least to the raters before.
"""

import math

import numpy as np
from jaxtyping import Int

from jaxgesture.core.errors import UserError


def make(
    systems: int, clips: int, *, raters: int, videos: int, seed: int = 0
) -> Int[np.ndarray, "r n 2"]:
    """Pairs (system, clip) for each rater.

    Args:
      systems: their number, S.
      clips: their number, C.
      raters: the number of plans to make.
      videos: how many of the S C videos each rater sees; all where there are fewer.
      seed: of the choice between offsets that are equally good, and of the order of clips.

    Returns:
      (system, clip), each below S and C; n is min(videos, S C).

    Raises:
      UserError: no raters, or fewer videos than systems.
    """
    if raters < 1:
        raise UserError(f"--raters={raters} leaves nobody to rate; at least 1 is needed")
    if videos < systems:
        raise UserError(
            f"--clips={videos} is too few for a rater to see each of {systems} systems; at least "
            f"{systems} are needed"
        )
    rng = np.random.default_rng(seed)
    slots = np.arange(min(videos, systems * clips))
    # (S C, 1) offsets and (S C, n) walks; a video is numbered system * C + clip.
    offsets = np.arange(systems * clips)[:, None]
    clip = (offsets % clips + slots) % clips
    turn = slots // math.lcm(systems, clips)
    walk = (offsets // clips + slots + turn) % systems * clips + clip
    shown = np.zeros(systems * clips)
    names = rng.permutation(clips)
    plans = []
    for _ in range(raters):
        by_system = shown.reshape(systems, clips).sum(axis=1)
        by_clip = shown.reshape(systems, clips).sum(axis=0)
        # Equal pairs matter most; the sums break ties that the pairs leave.
        cost = (
            systems * clips * (2 * shown[walk] + 1).sum(axis=1)
            + by_system[walk // clips].sum(axis=1)
            + by_clip[walk % clips].sum(axis=1)
        )
        best = walk[rng.choice(np.flatnonzero(cost == cost.min()))]
        shown[best] += 1
        plans.append(np.stack([best // clips, names[best % clips]], axis=-1))
    return np.stack(plans)
