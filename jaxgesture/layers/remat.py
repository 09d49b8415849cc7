"""Rematerialisation: what the backward pass keeps, and what it computes again.

A policy is a word of the configuration (`model.remat_policy`), used where `model.remat` is on:

    blocks    keep what enters a block; all inside is computed again: one more forward pass
    products  keep also the results of convolutions and matrix products inside; only what is cheap
              (normalisation, activation, resizing) is computed again
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax

from jaxgesture.core.errors import UserError

POLICIES = ("blocks", "products")
_PRODUCTS = ("conv_general_dilated", "dot_general")


def check_policy(policy: str) -> None:
    """Raises a UserError for a word that is no policy."""
    if policy not in POLICIES:
        raise UserError(
            f"model.remat_policy is {policy!r}; choose one of {', '.join(POLICIES)}, and "
            "model.remat=False for no rematerialisation"
        )


def recomputed(
    block: type[nn.Module], remat: bool, policy: str = "blocks", static: tuple[int, ...] = ()
) -> Callable[..., Any]:
    """A block's class, whose backward pass with `remat` computes again as the policy says.

    Args:
      block: a Linen module.
      remat: whether at all.
      policy: one of `POLICIES`.
      static: places of arguments of its call that are no arrays, counted from 1.
    """
    if not remat:
        return block
    return nn.remat(block, policy=_kept(policy), static_argnums=static)


def recomputed_function(
    function: Callable[..., Any], remat: bool, policy: str = "blocks"
) -> Callable[..., Any]:
    """As `recomputed`, of a pure function of arrays."""
    return jax.checkpoint(function, policy=_kept(policy)) if remat else function


def _kept(policy: str) -> Callable[..., bool] | None:
    return _is_product if policy == "products" else None


def _is_product(primitive: Any, *inputs: Any, **parameters: Any) -> bool:
    del inputs, parameters
    return primitive.name in _PRODUCTS
