"""Gradients of a batch in parts, one after the other: memory holds the activations of one.

The mean of the parts' gradients is the gradient of the whole batch wherever the loss is a mean over
examples.
"""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp

from jaxgesture.core import sharding
from jaxgesture.core.errors import UserError
from jaxgesture.core.types import PyTree

# (params, rows, carry, part) -> (loss, (means, rows of the result, carry))
Objective = Callable[[PyTree, PyTree, PyTree, Any], tuple[Any, tuple[PyTree, PyTree, PyTree]]]


def gradients(
    objective: Objective, params: PyTree, rows: PyTree, carry: PyTree, parts: int
) -> tuple[Any, PyTree, PyTree, PyTree, PyTree]:
    """Loss and gradient of a batch, computed in so many parts.

    Args:
        objective: (params, rows, carry, part) -> (loss, (means, each, carry)): `rows` those of the
            part, `carry` what the part before left (batch statistics), `part` its number; `means`
            are averaged over the parts, `each` has an example an entry along its first axis.
        params: what is differentiated.
        rows: arrays of the whole batch, an example an entry along their first axis.
        carry: for the first part.
        parts: number of parts; 1 computes all at once.

    Returns:
        The loss, the gradient, `means`, `each` of the whole batch in its order, the last `carry`.

    Raises:
        UserError: the batch does not divide.
    """
    differentiate = jax.value_and_grad(objective, has_aux=True)
    params = sharding.gathered(params)
    if parts == 1:
        (loss, (means, each, carry)), grads = differentiate(params, rows, carry, 0)
        return loss, _kept(grads), means, each, carry

    def one(state: tuple[PyTree, PyTree], item: tuple[PyTree, Any]):
        (total, carry), (share, number) = state, item
        (loss, (means, each, carry)), grads = differentiate(params, share, carry, number)
        return (jax.tree.map(jnp.add, total, _kept(grads)), carry), (loss, means, each)

    zeros = sharding.split(jax.tree.map(jnp.zeros_like, params))
    items = (jax.tree.map(lambda x: split(x, parts), rows), jnp.arange(parts))
    (total, carry), (losses, means, each) = jax.lax.scan(one, (zeros, carry), items)
    grads = jax.tree.map(lambda x: x / parts, total)
    means = jax.tree.map(lambda x: x.mean(0), means)
    return losses.mean(), grads, means, jax.tree.map(joined, each), carry


def _kept(grads: PyTree) -> PyTree:
    """Of the gradient what a device keeps: its part, of the sum over all rows.

    The sum is asked for first, or the compiler splits the products and passes them around.
    """
    return sharding.split(sharding.gathered(grads))


def split(rows: jax.Array, parts: int) -> jax.Array:
    """(b, ...) -> (parts, b / parts, ...); part i has the rows i, i + parts, ...

    So each device, which holds neighbouring rows, has a share of every part.

    Raises:
        UserError: the batch does not divide.
    """
    size = rows.shape[0]
    if size % parts:
        raise UserError(
            f"optim.accumulate={parts} does not divide the batch of {size}; choose a divisor of "
            "data.batch_size, and data.batch_size a multiple of it times the number of devices"
        )
    return jnp.swapaxes(rows.reshape(size // parts, parts, *rows.shape[1:]), 0, 1)


def joined(parts: jax.Array) -> jax.Array:
    """The inverse of `split`."""
    rows = jnp.swapaxes(parts, 0, 1)
    return rows.reshape(-1, *rows.shape[2:])
