"""Named random streams: every use of randomness folds its own name into the key it was given.

Keys are typed (`jax.random.key`). A stream depends on its name alone and not on the order of
calls, so that adding a use of randomness leaves every other one as it was.
"""

import zlib

import jax
from jax import Array
from jax.typing import ArrayLike


def stream(key: Array, name: str) -> Array:
    """Returns the key of the stream `name`: `fold_in(key, crc32(name))`."""
    return jax.random.fold_in(key, zlib.crc32(name.encode()))


def step_key(key: Array, step: ArrayLike) -> Array:
    """Returns the key of one training step, a pure function of the run's key and the step."""
    return jax.random.fold_in(stream(key, "step"), step)
