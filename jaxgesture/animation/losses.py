"""Losses of the base model (arXiv 2409.17674, eqs. 8-10).

The published objective,
    L = perceptual * sum_{s, k} mean |phi_k(blur_s(generated)) - phi_k(blur_s(real))|
      + local * mean over boxes of sum_k mean |psi_k(crop(generated)) - psi_k(crop(real))|
      + adversarial * mean (D(generated) - 1)^2,
with VGG-19 maps phi_k on an anti-aliased pyramid (global, eq. 8), VGG-16 maps psi_k on the boxes of
both hands and the face (local, eq. 9), and the discriminator D of `animation.discriminator`.

The pixel part needs no outside weights: the mean absolute difference of the images on the pyramid,
    L_pixel = sum_s weight * mean |blur_s(generated) - blur_s(real)|,   s in scales.
More parts are not published and off by default; they shorten the time for which a model paints the
clip's average and ignores the driving frame: the read-out of `animation.read_out`, the squared
difference, and
    L_motion = mean (m / mean m) |generated - real|,   m = 5x5 mean of |source - real|,
the absolute difference where the driving frame differs from the source.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core import tree
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float, PyTree
from jaxgesture.layers.crops import crop_and_resize
from jaxgesture.layers.resize import blur_downsample
from jaxgesture.perceptual import losses as perceptual
from jaxgesture.perceptual import weights
from jaxgesture.perceptual.vgg import VGG16, VGG16_LOCAL_TAPS

MOTION_FLOOR = 0.01  # mean change per pixel below which a pair counts less
LOCAL_PARTS = slice(0, 3)  # of the boxes of a frame: left hand, right hand, face; not the lips
GLOBAL, LOCAL = "vgg19", "vgg16"  # networks of the global and of the local loss


@dataclasses.dataclass(frozen=True)
class LossConfig:
    """Weights of the terms; a weight of zero leaves the term out.

    Attributes:
      pixel: weight of the absolute difference at each level of the pyramid.
      squared: weight of the squared difference at full resolution.
      motion: weight of the absolute difference where source and driving frame differ.
      scales: levels of the pyramid, as factors of reduction.
      perceptual: weight of every VGG-19 map at each level of the pyramid (global loss).
      perceptual_weights: file of VGG-19, vgg19-dcbb9e9d.pth of torchvision, or "random".
      local: weight of the VGG-16 maps on the boxes of hands and face (local loss).
      local_style: weight of the Gram matrices of these maps, as in S2G-MDDiffusion.
      local_size: side of the crops in pixels.
      local_weights: file of VGG-16, vgg16-397923af.pth of torchvision, or "random".
      adversarial: weight of the generator's least-squares GAN loss.
      adversarial_start: redrawing steps before the discriminator and its loss begin.
      discriminator_rate: the discriminator's learning rate as a part of optim.learning_rate.
      read_out: weight of the read-out of the decoded motion, all through the training.
      read_out_steps: so many steps at the start train extractor, motion decoder and read-out alone,
        under the optimiser's schedule over these steps; then it starts again, over the rest.
    """

    pixel: float = 1.0
    squared: float = 0.0
    motion: float = 0.0
    scales: tuple[int, ...] = (1, 2, 4, 8)
    perceptual: float = 0.0
    perceptual_weights: str = ""
    local: float = 0.0
    local_style: float = 0.0
    local_size: int = 64
    local_weights: str = ""
    adversarial: float = 0.0
    adversarial_start: int = 0
    discriminator_rate: float = 0.5
    read_out: float = 0.0
    read_out_steps: int = 0

    def __post_init__(self):
        for name in ("pixel", "squared", "motion", "perceptual", "local", "local_style",
                     "adversarial", "discriminator_rate"):  # fmt: skip
            value = getattr(self, name)
            if not 0 <= value < math.inf:
                raise UserError(f"loss.{name} is {value}; choose a finite number, 0 for none")
        if not self.scales or min(self.scales) < 1:
            raise UserError(f"loss.scales is {self.scales}; give factors from 1 on, such as (1, 2)")
        if self.adversarial_start < 0:
            raise UserError(f"loss.adversarial_start is {self.adversarial_start}; choose 0 or more")
        least = VGG16.least_size(max(VGG16_LOCAL_TAPS))
        if self.local_size < least:
            raise UserError(f"loss.local_size is {self.local_size}; VGG-16 needs {least} or more")
        if not 0 <= self.read_out < float("inf"):
            raise UserError(f"loss.read_out is {self.read_out}; choose a finite number, 0 for none")
        if self.read_out_steps < 0 or (self.read_out_steps and not self.read_out):
            raise UserError(
                f"loss.read_out_steps={self.read_out_steps} with loss.read_out={self.read_out}: "
                "steps that train the read-out alone need a weight; set loss.read_out, or 0 steps"
            )

    def check_sizes(self, size: int) -> None:
        """Refuses what images of `size` pixels do not hold.

        Raises:
          UserError: a level of the pyramid without pixels, or crops larger than the image.
        """
        if max(self.scales) > size:
            raise UserError(f"loss.scales is {self.scales}; images have {size} pixels only")
        if self.looks_closer and self.local_size > size:
            raise UserError(
                f"loss.local_size is {self.local_size}; images have {size} pixels: larger crops "
                "show no more"
            )

    @property
    def looks_closer(self) -> bool:
        """Whether there is a local loss, which needs boxes."""
        return self.local > 0 or self.local_style > 0


def load_frozen(config: LossConfig) -> tuple[PyTree, dict[str, Any]]:
    """The feature networks that the losses ask for, and what the checkpoints say of them.

    Args:
      config: the weights of the losses and the files.

    Returns:
      {"vgg19": parameters, "vgg16": parameters}, each only where it is used, float32 arrays; and
      a description for the checkpoints' meta: the source ("random" or a file) and hash of each.

    Raises:
      UserError: if a file is not named, missing, damaged, or of another network.
    """
    wanted = (
        (GLOBAL, "perceptual_weights", ("perceptual",)),
        (LOCAL, "local_weights", ("local", "local_style")),
    )
    frozen, about = {}, {}
    for name, key, terms in wanted:
        on = [f"loss.{term}" for term in terms if getattr(config, term)]
        if on:
            loaded = weights.load(name, getattr(config, key), key=f"loss.{key}", off=on)
            frozen[name] = loaded.params
            about[name] = {"source": loaded.source, "sha256": loaded.sha256}
    if not frozen:
        return {}, {}
    return frozen, {"feature_networks": about, "frozen_sha256": tree.sha256(frozen)}


def feature_loss(
    frozen: PyTree,
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    boxes: Float[Array, "b k 4"] | None,
    config: LossConfig,
    dtype: DTypeLike | None = None,
    recompute: perceptual.Recompute = perceptual.no_recompute,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The weighted sum of global and local loss, and its unweighted terms.

    Args:
      frozen: of `load_frozen`.
      generated: in [0, 1].
      real: in [0, 1]; carries no gradient.
      boxes: of `real`, x0, y0, x1, y1 as fractions, NaN for what is not there: left hand, right
        hand, face; more are not looked at. Needed for the local loss alone.
      config: weights.
      dtype: compute type of the networks; the images' if None.
      recompute: see `perceptual.losses.pyramid_loss`.
    """
    total, terms = jnp.zeros((), generated.dtype), {}
    if config.perceptual:
        rows = perceptual.pyramid_loss(
            frozen[GLOBAL], generated, real, config.scales, dtype, recompute
        )
        terms["perceptual"] = rows.sum()
        total += config.perceptual * terms["perceptual"]
    if config.looks_closer:
        assert boxes is not None
        terms |= local_loss(
            frozen[LOCAL], generated, real, boxes, config.local_size, dtype, recompute
        )
        total += config.local * terms["local"] + config.local_style * terms["local_style"]
    return total, terms


def local_loss(
    params: PyTree,
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    boxes: Float[Array, "b k 4"],
    size: int,
    dtype: DTypeLike | None = None,
    recompute: perceptual.Recompute = perceptual.no_recompute,
) -> dict[str, Float[Array, ""]]:
    """The mean over all boxes of the VGG-16 terms of `perceptual.losses`; absent ones count as 0.

    So a box weighs the same whether or not others of its batch are there.

    Returns:
      "local" and "local_style".
    """
    boxes = boxes[:, LOCAL_PARTS].astype(generated.dtype)
    ours, present = crop_and_resize(generated, boxes, size)
    theirs, _ = crop_and_resize(jax.lax.stop_gradient(real), boxes, size)
    flat = (-1, size, size, 3)
    per_box = perceptual.local_terms(
        params, ours.reshape(flat), theirs.reshape(flat), dtype, recompute
    )
    weight = present.reshape(-1).astype(generated.dtype)
    features, style = ((weight * value).mean() for value in per_box)
    return {"local": features, "local_style": style}


def reconstruction_loss(
    generated: Float[Array, "b h w 3"],
    real: Float[Array, "b h w 3"],
    source: Float[Array, "b h w 3"],
    config: LossConfig,
) -> tuple[Float[Array, ""], dict[str, Float[Array, ""]]]:
    """The weighted sum and its unweighted terms; only `generated` carries a gradient.

    Args:
      generated: the source redrawn in the driving frame's pose, in [0, 1].
      real: the driving frame.
      source: the source image.
      config: weights.
    """
    real, source = jax.lax.stop_gradient((real, source))
    difference = generated - real
    terms = {}
    for scale in config.scales:
        # The blur is linear: one pyramid of the difference serves both images.
        terms[f"pixel_{scale}"] = perceptual.absolute(blur_downsample(difference, scale)).mean()
    terms["squared"] = (difference**2).mean()
    if config.motion:
        weight = motion_weight(real, source)
        terms["motion"] = (weight * perceptual.absolute(difference)).mean()
    total = config.pixel * sum(terms[f"pixel_{scale}"] for scale in config.scales)
    total += config.squared * terms["squared"] + config.motion * terms.get("motion", 0.0)
    return total, terms


def motion_weight(
    real: Float[Array, "b h w 3"], source: Float[Array, "b h w 3"]
) -> Float[Array, "b h w 1"]:
    """How much each pixel changes between source and driving frame; mean about 1 per image."""
    change = jnp.abs(real - source).mean(-1, keepdims=True)
    change = jax.lax.reduce_window(change, 0.0, jax.lax.add, (1, 5, 5, 1), (1, 1, 1, 1), "SAME")
    # The floor keeps two equal frames from being all weight.
    return change / jnp.maximum(change.mean((1, 2, 3), keepdims=True), 25 * MOTION_FLOOR)
