"""Patch discriminator with spectral norm, and the least-squares GAN (arXiv 2409.17674, eq. 10).

Spectral norm (arXiv 1802.05957): a kernel is used as W / sigma, with sigma = u^T W v close to the
largest singular value of W as a matrix of (outputs, inputs x height x width). A training step
improves u and v by one power iteration,
    v <- W^T u / |W^T u|,   u <- W v / |W v|,
and takes them as constants; sigma's gradient goes through W.

Least squares (arXiv 1611.04076), for logits D:
    L_D = (mean D(fake)^2 + mean (D(real) - 1)^2) / 2,   L_G = mean (D(fake) - 1)^2.

Widths, kernels and strides are those of S2G-MDDiffusion; the base model's are not published.
"""

import dataclasses

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.typing import DTypeLike

from jaxgesture.core.errors import UserError
from jaxgesture.core.types import Array, Float
from jaxgesture.layers.conv import conv2d, uniform_fan_in

PADDING = 1
SLOPE = 0.2
EPSILON = 1e-12  # least length that a vector is divided by


@dataclasses.dataclass(frozen=True)
class DiscriminatorConfig:
    """Sizes of the discriminator.

    Attributes:
      widths: channels of the convolutions in front of the classifier.
      kernel: side of all kernels in pixels; the padding is 1 whatever it is.
      strides: of the convolutions in front of the classifier, whose own is 1.
    """

    widths: tuple[int, ...] = (64, 128, 256, 512)
    kernel: int = 5
    strides: tuple[int, ...] = (2, 2, 2, 1)

    def __post_init__(self):
        if not self.widths or len(self.widths) != len(self.strides):
            raise UserError(
                f"discriminator.widths is {self.widths} and discriminator.strides {self.strides}; "
                "give one stride for each width, at least one of them"
            )
        if min(*self.widths, *self.strides) < 1:
            raise UserError(
                f"discriminator.widths is {self.widths} and discriminator.strides {self.strides}; "
                "all of them must be at least 1"
            )
        if self.kernel < 3:
            raise UserError(f"discriminator.kernel is {self.kernel}; choose at least 3")

    @property
    def least_size(self) -> int:
        """The smallest side of an image, in pixels, that leaves one logit."""
        size = 1
        for stride in (1, *reversed(self.strides)):
            size = (size - 1) * stride + self.kernel - 2 * PADDING
        return size


def as_matrix(kernel: Float[Array, "k l c o"]) -> Float[Array, "o c*k*l"]:
    """The kernel as PyTorch flattens its own, so that v means there what it means here."""
    return kernel.transpose(3, 2, 0, 1).reshape(kernel.shape[-1], -1)


def power_iteration(
    kernel: Float[Array, "k l c o"], u: Float[Array, "o"]
) -> tuple[Float[Array, "o"], Float[Array, "c*k*l"]]:
    """One improvement of u, and the v that belongs to it; both constants for gradients."""
    matrix, u = jax.lax.stop_gradient((as_matrix(kernel), u))
    v = _unit(jnp.dot(u, matrix, precision=jax.lax.Precision.HIGHEST))
    return _unit(jnp.dot(matrix, v, precision=jax.lax.Precision.HIGHEST)), v


def spectral_sigma(
    kernel: Float[Array, "k l c o"], u: Float[Array, "o"], v: Float[Array, "c*k*l"]
) -> Float[Array, ""]:
    """u^T W v, differentiable in the kernel alone."""
    u, v = jax.lax.stop_gradient((u, v))
    exact = jax.lax.Precision.HIGHEST
    return jnp.dot(u, jnp.dot(as_matrix(kernel), v, precision=exact), precision=exact)


def _unit(x: Array) -> Array:
    return x / jnp.maximum(jnp.linalg.norm(x), EPSILON)


class SpectralConv(nn.Module):
    """A convolution without bias whose kernel is divided by its spectral norm.

    u and v are variables of "batch_stats". Each forward pass with `train` does one power iteration
    first, and stores it where that collection is mutable.

    Attributes:
      features: output channels.
      kernel: side of the kernel.
      stride: step between outputs.
      dtype: compute type of the convolution; the norm has the kernel's own.
    """

    features: int
    kernel: int
    stride: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"], *, train: bool) -> Float[Array, "b h2 w2 o"]:
        """Returns the convolution of `x` in the compute type."""
        fan_in = self.kernel**2 * x.shape[-1]
        shape = (self.kernel, self.kernel, x.shape[-1], self.features)
        kernel = self.param("kernel", uniform_fan_in(fan_in), shape)

        def direction(length: int) -> Array:
            return _unit(jax.random.normal(self.make_rng("params"), (length,), kernel.dtype))

        u = self.variable("batch_stats", "u", direction, self.features)
        v = self.variable("batch_stats", "v", direction, fan_in)
        u_now, v_now = u.value, v.value
        if train and not self.is_initializing():
            u_now, v_now = power_iteration(kernel, u_now)
            if self.is_mutable_collection("batch_stats"):
                u.value, v.value = u_now, v_now
        kernel = kernel / spectral_sigma(kernel, u_now, v_now)
        return conv2d(
            x.astype(self.dtype), kernel.astype(self.dtype), stride=self.stride, padding=PADDING
        )


class Classifier(nn.Module):
    """The last convolution: one logit a place, stride 1, with bias and without spectral norm."""

    kernel: int
    dtype: jnp.dtype = jnp.float32

    @nn.compact
    def __call__(self, x: Float[Array, "b h w c"]) -> Float[Array, "b h2 w2 1"]:
        """Returns the logits in the compute type."""
        fan_in = self.kernel**2 * x.shape[-1]
        init = uniform_fan_in(fan_in)
        kernel = self.param("kernel", init, (self.kernel, self.kernel, x.shape[-1], 1))
        bias = self.param("bias", init, (1,))
        y = conv2d(x.astype(self.dtype), kernel.astype(self.dtype), stride=1, padding=PADDING)
        return y + bias.astype(self.dtype)[None, None, None]


class Discriminator(nn.Module):
    """Logits of overlapping patches: convolutions with spectral norm, LeakyReLU 0.2 behind each.

    Parameters are named as PyTorch counts them, activations included: encoder_0, encoder_2, ...,
    classifier.

    Attributes:
      config: its sizes.
      dtype: compute type of the convolutions.
    """

    config: DiscriminatorConfig
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w 3"], *, train: bool) -> Float[Array, "b h2 w2 1"]:
        """Returns one logit a patch, in float32 (or float64).

        Args:
          image: in [0, 1].
          train: do one power iteration first; it is kept with `mutable=["batch_stats"]`.

        Raises:
          UserError: if the image is too small to leave a logit.
        """
        config, dtype = self.config, jnp.dtype(self.dtype)
        if min(image.shape[1:3]) < config.least_size:
            raise UserError(
                f"an image of {image.shape[1]} x {image.shape[2]} pixels is too small for the "
                f"discriminator, which needs {config.least_size}; use larger images, or fewer "
                "widths and strides"
            )
        x = image
        for index, (width, stride) in enumerate(zip(config.widths, config.strides, strict=True)):
            name = f"encoder_{2 * index}"
            x = SpectralConv(width, config.kernel, stride, dtype, name=name)(x, train=train)
            x = nn.leaky_relu(x, SLOPE)
        logits = Classifier(config.kernel, dtype, name="classifier")(x)
        return logits.astype(jnp.promote_types(dtype, jnp.float32))


def lsgan_discriminator(
    real_logits: Float[Array, "*n"], fake_logits: Float[Array, "*n"]
) -> Float[Array, ""]:
    """Half the sum of mean (real - 1)^2 and mean fake^2: real patches are 1, fakes 0."""
    return 0.5 * (((real_logits - 1) ** 2).mean() + (fake_logits**2).mean())


def lsgan_generator(fake_logits: Float[Array, "*n"]) -> Float[Array, ""]:
    """Mean (fake - 1)^2: the generator wants its images to be taken for real."""
    return ((fake_logits - 1) ** 2).mean()
