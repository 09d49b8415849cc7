"""Pytrees as flat dictionaries of named leaves, their sizes and their hashes."""

import hashlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from jaxgesture.core.types import PyTree


def key_name(path: tuple[Any, ...]) -> str:
    """Returns the name of a leaf from its `jax.tree_util` key path, parts joined by "/"."""
    return jax.tree_util.keystr(path, simple=True, separator="/")


def flatten(tree: PyTree) -> dict[str, Any]:
    """Returns the leaves of any pytree by name; `None` and empty containers have no leaves."""
    return {key_name(path): leaf for path, leaf in jax.tree_util.tree_flatten_with_path(tree)[0]}


def unflatten(leaves: Mapping[str, Any]) -> dict[str, Any]:
    """Returns nested dictionaries from leaves by name, the inverse of `flatten` for such trees.

    Raises:
        ValueError: if one name is both a leaf and the parent of another.
    """
    tree: dict[str, Any] = {}
    for name, leaf in leaves.items():
        *parents, last = name.split("/")
        node = tree
        for parent in parents:
            node = node.setdefault(parent, {})
            if not isinstance(node, dict):
                raise ValueError(f"{name!r} lies below {parent!r}, which is a leaf")
        if last in node:
            raise ValueError(f"{name!r} is both a leaf and a parent")
        node[last] = leaf
    return tree


def count(tree: PyTree) -> int:
    """Returns the number of scalars in the arrays (or shape structs) of a pytree."""
    return sum(int(np.prod(leaf.shape, dtype=np.int64)) for leaf in jax.tree.leaves(tree))


def nbytes(tree: PyTree) -> int:
    """Returns the bytes of the arrays (or shape structs) of a pytree; random keys count as none."""
    return sum(
        int(np.prod(leaf.shape, dtype=np.int64)) * np.dtype(leaf.dtype).itemsize
        for leaf in jax.tree.leaves(tree)
        if not jnp.issubdtype(leaf.dtype, jax.dtypes.prng_key)
    )


def sha256(tree: PyTree) -> str:
    """Returns a hash of the names and values of all leaves, in hexadecimal."""
    digest = hashlib.sha256()
    for name, leaf in sorted(flatten(tree).items()):
        digest.update(name.encode())
        digest.update(np.ascontiguousarray(leaf).tobytes())
    return digest.hexdigest()


def format_count(number: int) -> str:
    """Returns a count for people: 950 -> "950", 12345 -> "12.3 k", 93610000 -> "93.6 M"."""
    for size, suffix in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if number >= 0.99995 * size:  # else it were rounded to 1000.0 of the unit below
            return f"{number / size:.1f} {suffix}"
    return str(number)
