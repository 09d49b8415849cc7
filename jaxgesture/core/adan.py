"""Adan (arXiv 2208.06677, algorithm 1) with its proximal weight decay.

With gradient g, its change d = g - g_prev and (in the naming of this project, where a small b
means a long memory) b1 = 0.02, b2 = 0.08, b3 = 0.01, at step k = 1, 2, ...

    m <- (1 - b1) m + b1 g
    v <- (1 - b2) v + b2 d
    n <- (1 - b3) n + b3 (g + (1 - b2) d)^2
    c_i = 1 / (1 - (1 - b_i)^k)
    x <- [x - lr / (sqrt(c3 n) + eps) * (c1 m + (1 - b2) c2 v)] / (1 + weight_decay lr)

The first step stores its gradient and leaves m, v and n at zero, so that it only decays the
parameters, while its number still counts in the c_i. `optax.adan` updates the moments on the
first step and so follows another path.
"""

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

from jaxgesture.core.types import PyTree


class AdanState(NamedTuple):
    """The moments of Adan, each a pytree like the parameters."""

    count: Int[Array, ""]
    m: PyTree
    v: PyTree
    n: PyTree
    previous: PyTree


def adan(
    learning_rate: optax.ScalarOrSchedule,
    *,
    b1: float = 0.02,
    b2: float = 0.08,
    b3: float = 0.01,
    eps: float = 1e-8,
    weight_decay: float = 0.0,
) -> optax.GradientTransformation:
    """Returns Adan as an optax transformation whose updates are added to the parameters.

    The proximal decay divides the moved parameters, so `update` needs `params`, and the learning
    rate belongs inside: nothing may scale the updates afterwards.

    Args:
        learning_rate: a float, or a schedule of the number of steps done before this one.
        b1: weight of the newest gradient in its running mean.
        b2: weight of the newest gradient change.
        b3: weight of the newest squared gradient.
        eps: added to the root of the second moment.
        weight_decay: strength of the proximal decay.

    Raises:
        ValueError: from `update`, if `params` is None.
    """

    def init(params: PyTree) -> AdanState:
        # Separate buffers: a donated state must not hold one twice.
        m, v, n, previous = (jax.tree.map(jnp.zeros_like, params) for _ in range(4))
        return AdanState(jnp.zeros((), jnp.int32), m, v, n, previous)

    def update(updates: PyTree, state: Any, params: PyTree | None = None):
        grads = updates
        if params is None:
            raise ValueError("adan needs the parameters: call update(grads, state, params)")
        rate = jnp.asarray(learning_rate(state.count) if callable(learning_rate) else learning_rate)
        first = state.count == 0
        step = (state.count + 1).astype(jnp.float32)
        # expm1 keeps the digits that 1 - (1 - b)^k loses in float32 for small k.
        c1, c2, c3 = (-1.0 / jnp.expm1(step * jnp.log1p(-b)) for b in (b1, b2, b3))

        def moments(g, previous, m, v, n):
            change = g - previous
            m_new = (1.0 - b1) * m + b1 * g
            v_new = (1.0 - b2) * v + b2 * change
            n_new = (1.0 - b3) * n + b3 * jnp.square(g + (1.0 - b2) * change)
            return tuple(
                jnp.where(first, old, new) for old, new in ((m, m_new), (v, v_new), (n, n_new))
            )

        def move(x, m, v, n):
            direction = (c1 * m + (1.0 - b2) * c2 * v) / (jnp.sqrt(c3 * n) + eps)
            # (x - lr d) / (1 + wd lr) - x without the cancellation of the two large terms.
            delta = -rate * (direction + weight_decay * x) / (1.0 + weight_decay * rate)
            return delta.astype(x.dtype)

        new = jax.tree.map(moments, grads, state.previous, state.m, state.v, state.n)
        outer = jax.tree.structure(grads)
        m, v, n = jax.tree.transpose(outer, jax.tree.structure((0, 0, 0)), new)
        count = jnp.asarray(optax.safe_increment(state.count))
        return jax.tree.map(move, params, m, v, n), AdanState(count, m, v, n, grads)

    return optax.GradientTransformation(init, update)
