"""What the paper reports (arXiv 2409.17674, tables 1 and 2), to be printed beside our numbers.

On PATS, speakers chemistry, jon, oliver, seth. The pose extractor and autoencoder behind FGD and
Div., frames and weights behind FVD, the crops and the network of LPIPS are not published, so that
these numbers are no yardstick for ours. The ground truth's FGD is not 0: its reference is another
set than the clips that are judged.
"""

from collections.abc import Mapping

GENERATION: Mapping[str, tuple[float, float, float]] = {
    "ground truth": (8.976, 5.911, 1852.86),
    "ANGIE": (55.655, 5.089, 2965.29),
    "MM-Diffusion": (41.626, 5.189, 2656.06),
    "S2G-MDDiffusion": (18.131, 5.632, 2058.19),
    "the paper": (17.324, 5.788, 1997.96),
    "the paper, no deviation in its decoder": (17.218, 4.980, 2112.81),
    "the paper, no enhanced feature": (17.284, 5.703, 2252.88),
    "the paper, no motion decoder": (17.812, 5.191, 2201.66),
}
"""FGD, diversity and FVD by system."""

RECONSTRUCTION: Mapping[str, Mapping[str, tuple[float, float, float]]] = {
    "S2G-MDDiffusion": {
        "hand": (22.37, 0.625, 0.106),
        "lips": (23.84, 0.689, 0.092),
        "full": (29.39, 0.952, 0.034),
    },
    "the paper": {
        "hand": (23.91, 0.756, 0.054),
        "lips": (29.10, 0.882, 0.038),
        "full": (31.79, 0.976, 0.018),
    },
}
"""PSNR, SSIM and LPIPS by system and region."""
