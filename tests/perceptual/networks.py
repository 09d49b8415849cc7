"""Feature networks without files: their shapes alone, or random ones of fewer channels.

The losses take whatever widths the kernels have; only the names must be VGG's.
"""

import math

import jax
import numpy as np

from jaxgesture.perceptual import layout


def shapes(network, divisor=1):
    """The parameters of a layout as shape structs, all widths but the image's divided."""

    def array(*shape):
        return jax.ShapeDtypeStruct(shape, np.float32)

    def width(channels):
        return channels if channels == 3 else channels // divisor

    return {
        layout.parameter_name(index): {
            "kernel": array(conv.kernel, conv.kernel, width(conv.inputs), width(conv.outputs)),
            "bias": array(width(conv.outputs)),
        }
        for index, conv in network.convs().items()
    }


def random(network, divisor, seed=0):
    """He-normal kernels and no biases, as `weights.random_params` has them."""
    rng = np.random.default_rng(seed)

    def draw(leaf):
        if len(leaf.shape) == 1:
            return np.zeros(leaf.shape, leaf.dtype)
        scale = math.sqrt(2 / math.prod(leaf.shape[:-1]))
        return (scale * rng.standard_normal(leaf.shape)).astype(leaf.dtype)

    return jax.tree.map(draw, shapes(network, divisor))
