"""The denoiser: a transformer decoder that predicts the clean motion of a noised segment.

Five inputs: diffusion step, audio, noised motion, the source image's motion feature, and the motion
before the segment (arXiv 2409.17674, section 2.2). With `history_frames = 0` it is the denoiser of
S2G-MDDiffusion (CVPR 2024) and its parameters carry that network's names.
"""

import math
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import Array, Bool, Float, Int, PyTree
from jaxgesture.layers.attention import MultiHeadAttention
from jaxgesture.layers.linear import Linear, layer_norm, mish
from jaxgesture.layers.remat import recomputed
from jaxgesture.layers.rotary import rotate
from jaxgesture.motion.config import MotionConfig

TIME_TOKENS = 2
TIME_EXPANSION = 4
MAX_PERIOD = 10000.0


class AudioCode(NamedTuple):
    """All that the denoiser needs of the audio; the same at every diffusion step.

    Attributes:
      tokens: one token a frame.
      pooled: the projected average over time, a part of the FiLM vector.
    """

    tokens: Float[Array, "b t c"]
    pooled: Float[Array, "b c"]


def timestep_embedding(t: Int[Array, " b"], width: int) -> Float[Array, "b c"]:
    """concat(sin, cos) of the diffusion step times width / 2 geometric frequencies."""
    half = width // 2
    # In float32 up to the exponential: its last bit is worth 6e-5 at t = 999.
    exponents = np.arange(half, dtype=np.float32) * np.float32(-math.log(MAX_PERIOD) / (half - 1))
    frequencies = np.exp(exponents.astype(np.float64)).astype(np.float32)
    angles = t.astype(jnp.float32)[:, None] * jnp.asarray(frequencies)[None]
    return jnp.concatenate((jnp.sin(angles), jnp.cos(angles)), axis=-1)


class Film(nn.Module):
    """(scale + 1) * h + shift, with scale and shift a projection of Mish(condition)."""

    dtype: jnp.dtype

    @nn.compact
    def __call__(
        self, h: Float[Array, "b t c"], condition: Float[Array, "b c"]
    ) -> Float[Array, "b t c"]:
        """Returns the modulated tokens."""
        both = Linear(2 * h.shape[-1], dtype=self.dtype, name="block_1")(mish(condition))
        scale, shift = jnp.split(both[:, None], 2, axis=-1)
        return (scale + 1) * h + shift


class EncoderLayer(nn.Module):
    """Audio layer: x += SA(norm1 x); x += FF(norm2 x)."""

    config: MotionConfig

    @nn.compact
    def __call__(
        self, x: Float[Array, "b t c"], positions: range, deterministic: bool
    ) -> Float[Array, "b t c"]:
        """Returns the tokens with both residuals added."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        drop = nn.Dropout(config.dropout, deterministic=deterministic)
        h = layer_norm("norm1", dtype)(x)
        turned = rotate(h, np.array(positions))
        attention = MultiHeadAttention(config.heads, dtype=dtype, name="self_attn")
        x = x + drop(attention(turned, turned, h))
        h = Linear(config.feedforward, dtype=dtype, name="linear1")(layer_norm("norm2", dtype)(x))
        h = drop(nn.gelu(h, approximate=False))
        return x + drop(Linear(config.width, dtype=dtype, name="linear2")(h))


class DecoderLayer(nn.Module):
    """x += film1(SA(norm1 x)); x += film2(CA(norm2 x, memory)); x += film3(FF(norm3 x))."""

    config: MotionConfig

    @nn.compact
    def __call__(
        self,
        x: Float[Array, "b t c"],
        memory: Float[Array, "b s c"],
        condition: Float[Array, "b c"],
        positions: range,
        deterministic: bool,
    ) -> Float[Array, "b t c"]:
        """Returns the tokens with all three residuals added."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        drop = nn.Dropout(config.dropout, deterministic=deterministic)

        def film(name, h):
            return Film(dtype, name=name)(drop(h), condition)

        h = layer_norm("norm1", dtype)(x)
        places = np.array(positions)
        turned = rotate(h, places)
        attention = MultiHeadAttention(config.heads, dtype=dtype, name="self_attn")
        x = x + film("film1", attention(turned, turned, h))

        h = rotate(layer_norm("norm2", dtype)(x), places)
        keys = rotate(memory, np.arange(memory.shape[1]))
        attention = MultiHeadAttention(config.heads, dtype=dtype, name="multihead_attn")
        x = x + film("film2", attention(h, keys, memory))

        h = Linear(config.feedforward, dtype=dtype, name="linear1")(layer_norm("norm3", dtype)(x))
        h = drop(nn.gelu(h, approximate=False))
        return x + film("film3", Linear(config.width, dtype=dtype, name="linear2")(h))


class DecoderStack(nn.Module):
    """The decoder layers one after the other."""

    config: MotionConfig

    def setup(self):
        """Builds the layers."""
        config = self.config
        # Places of the positions and of `deterministic` in the call.
        made = recomputed(DecoderLayer, config.remat, config.remat_policy, static=(4, 5))
        self.stack = [made(config) for _ in range(config.layers)]

    def __call__(self, x, memory, condition, positions, deterministic):
        """Returns the tokens after the last layer."""
        for layer in self.stack:
            x = layer(x, memory, condition, positions, deterministic)
        return x


class Denoiser(nn.Module):
    """Predicts clean motion from noised motion; all motion is in the network's units, [-1, 1]."""

    config: MotionConfig

    def setup(self):
        """Builds all parts; the names are those of the published weights."""
        config, dtype = self.config, jnp.dtype(self.config.dtype)
        width = config.width
        normal, small = nn.initializers.normal(1.0), nn.initializers.normal(0.02)
        self.null_cond_embed = self.param(
            "null_cond_embed", normal, (1, config.segment_frames, width)
        )
        self.null_cond_hidden = self.param("null_cond_hidden", normal, (1, width))
        self.time_mlp_1 = Linear(TIME_EXPANSION * width, dtype=dtype)
        self.to_time_cond_0 = Linear(width, dtype=dtype)
        self.to_time_tokens_0 = Linear(TIME_TOKENS * width, dtype=dtype)
        self.norm_cond = layer_norm(dtype=dtype)
        self.input_projection = Linear(width, dtype=dtype)
        made = recomputed(EncoderLayer, config.remat, config.remat_policy, static=(2, 3))
        self.cond_encoder = [made(config) for _ in range(config.audio_layers)]
        self.cond_projection = Linear(width, dtype=dtype)
        self.non_attn_cond_projection_0 = layer_norm(dtype=dtype)
        self.non_attn_cond_projection_1 = Linear(width, dtype=dtype)
        self.non_attn_cond_projection_3 = Linear(width, dtype=dtype)
        self.seqTransDecoder = DecoderStack(config)
        # Rounded to bfloat16, velocity and acceleration would be a third more jitter.
        self.final_layer = Linear(config.motion_size, dtype=jnp.promote_types(dtype, jnp.float32))
        if config.history_frames:
            shape = (1, config.history_frames, width)
            self.history_projection = Linear(width, dtype=dtype)
            self.history_embed = self.param("history_embed", small, shape)
            self.null_history_embed = self.param("null_history_embed", small, shape)

    def encode_audio(self, audio: Float[Array, "b t a"], deterministic: bool = True) -> AudioCode:
        """Normalised audio features of whole segments as tokens and their pooled vector."""
        tokens = _residual(self.cond_projection(audio))
        positions = range(tokens.shape[1])
        for layer in self.cond_encoder:
            tokens = layer(tokens, positions, deterministic)
        pooled = self.non_attn_cond_projection_0(tokens.mean(axis=1))
        pooled = nn.silu(self.non_attn_cond_projection_1(pooled))
        return AudioCode(tokens, self.non_attn_cond_projection_3(pooled))

    def _history_tokens(self, x, history, history_mask):
        shape = (len(x), *self.null_history_embed.shape[1:])
        null = jnp.broadcast_to(self.null_history_embed, shape)
        if history is None:
            return null.astype(x.dtype)
        tokens = _residual(self.history_projection(history)) + self.history_embed
        if history_mask is not None:
            tokens = jnp.where(history_mask[:, None, None], tokens, null)
        return tokens.astype(x.dtype)

    def __call__(
        self,
        x_t: Float[Array, "b t d"],
        t: Int[Array, " b"],
        *,
        audio: Float[Array, "b t a"] | AudioCode,
        source_feature: Float[Array, "b d"],
        history: Float[Array, "b h d"] | None = None,
        history_mask: Bool[Array, " b"] | None = None,
        keep: Bool[Array, " b"] | None = None,
        deterministic: bool = True,
    ) -> Float[Array, "b t d"]:
        """Predicts the clean motion.

        Args:
          x_t: noised motion of whole segments.
          t: diffusion step of each example, 0 to 999.
          audio: normalised audio features, a row a frame, or what `encode_audio` made of them.
          source_feature: motion feature of the source image.
          history: motion before the segment; None uses the learned null history for all.
          history_mask: False where an example uses the null history instead; None is all True.
          keep: False where an example's audio is replaced by the learned null condition
            (classifier-free guidance, arXiv 2207.12598); None is all True.
          deterministic: no dropout; otherwise the random stream "dropout" is needed.

        Returns:
          The prediction of the clean motion, float32, not clipped.
        """
        if not isinstance(audio, AudioCode):
            audio = self.encode_audio(audio, deterministic)
        tokens, pooled = audio
        if keep is not None:
            tokens = jnp.where(keep[:, None, None], tokens, self.null_cond_embed)
            pooled = jnp.where(keep[:, None], pooled, self.null_cond_hidden.astype(pooled.dtype))

        time = mish(self.time_mlp_1(timestep_embedding(t, self.config.width)))
        condition = self.to_time_cond_0(time) + pooled
        time_tokens = self.to_time_tokens_0(time).reshape(len(t), TIME_TOKENS, -1)
        memory = self.norm_cond(jnp.concatenate((tokens, time_tokens.astype(tokens.dtype)), axis=1))

        source = jnp.broadcast_to(source_feature[:, None], x_t.shape)
        x = _residual(self.input_projection(jnp.concatenate((x_t, source), axis=-1)))
        past = self.config.history_frames
        if past:
            x = jnp.concatenate((self._history_tokens(x, history, history_mask), x), axis=1)
        positions = range(-past, x_t.shape[1])
        x = self.seqTransDecoder(x, memory, condition, positions, deterministic)
        return self.final_layer(x[:, past:])


def _residual(x):
    """Widens to float32: sums of many residuals lose their small terms in bfloat16."""
    return x.astype(jnp.promote_types(x.dtype, jnp.float32))


def init_params(config: MotionConfig, key: Array) -> PyTree:
    """Fresh parameters of a `Denoiser`."""
    frames = config.segment_frames

    def rows(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((1, *shape), jnp.float32)

    # Without computing the network's output, which XLA would fold as one constant.
    variables = Denoiser(config).lazy_init(
        key,
        rows(frames, config.motion_size),
        jax.ShapeDtypeStruct((1,), jnp.int32),
        audio=rows(frames, config.audio_size),
        source_feature=rows(config.motion_size),
        history=rows(config.history_frames, config.motion_size) if config.history_frames else None,
    )
    return variables["params"]
