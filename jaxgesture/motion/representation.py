"""What is diffused: motion features as rotation matrices or as Euler angles.

A motion feature is n rotations, each row-major 3x3, and a translation of 3 in [-1, 1]:
d = 9 n + 3. R = Pitch(x) Yaw(y) Roll(z) with right-handed elementary rotations. The Euler
representation is (pitch, yaw, roll) / 99 degrees for each rotation, then the translation:
3 n + 3 numbers, in [-1, 1] for all that the base model can give.
"""

import math

import jax.numpy as jnp

from jaxgesture.core.types import Array, Float
from jaxgesture.motion.config import MotionConfig

TRANSLATION = 3
# The base model's angles lie in [-99, 99] degrees.
ANGLE_UNIT = math.radians(99)


def nearest_rotation(matrix: Float[Array, "*n 3 3"]) -> Float[Array, "*n 3 3"]:
    """The rotation with the least squared distance: U diag(1, 1, det(U V^T)) V^T of the SVD."""
    u, _, vt = jnp.linalg.svd(matrix)
    sign = jnp.where(jnp.linalg.det(u) * jnp.linalg.det(vt) < 0, -1.0, 1.0).astype(matrix.dtype)
    last = jnp.broadcast_to(sign[..., None, None], (*sign.shape, 3, 1))
    return jnp.concatenate((u[..., :2], u[..., 2:] * last), axis=-1) @ vt


def rotation_from_euler(angles: Float[Array, "*n 3"]) -> Float[Array, "*n 3 3"]:
    """Pitch(x) Yaw(y) Roll(z) of (pitch, yaw, roll) in radians."""
    (cp, cy, cr), (sp, sy, sr) = (jnp.moveaxis(f(angles), -1, 0) for f in (jnp.cos, jnp.sin))
    rows = (
        (cy * cr, -cy * sr, sy),
        (cp * sr + sp * sy * cr, cp * cr - sp * sy * sr, -sp * cy),
        (sp * sr - cp * sy * cr, sp * cr + cp * sy * sr, cp * cy),
    )
    return jnp.stack([jnp.stack(row, axis=-1) for row in rows], axis=-2)


def euler_from_rotation(rotation: Float[Array, "*n 3 3"]) -> Float[Array, "*n 3"]:
    """(pitch, yaw, roll) in radians, the inverse of `rotation_from_euler`.

    Two triples give the same rotation, (p, y, r) and (p + pi, pi - y, r + pi): the one whose
    largest angle is smaller is returned, which is the base model's. At a yaw of exactly 90 degrees
    only one combination of pitch and roll is determined; roll is taken as 0 there.
    """
    r = rotation
    sine = r[..., 0, 2]
    cosine = jnp.sqrt(r[..., 0, 0] ** 2 + r[..., 0, 1] ** 2)
    locked = cosine < 1e-6

    def angles(sign):
        yaw = jnp.arctan2(sine, sign * cosine)
        pitch = jnp.arctan2(-sign * r[..., 1, 2], sign * r[..., 2, 2])
        roll = jnp.arctan2(-sign * r[..., 0, 1], sign * r[..., 0, 0])
        pitch = jnp.where(locked, jnp.arctan2(r[..., 2, 1], r[..., 1, 1]), pitch)
        return jnp.stack((pitch, yaw, jnp.where(locked, 0.0, roll)), axis=-1)

    near, far = angles(1.0), angles(-1.0)
    smaller = jnp.abs(near).max(-1) <= jnp.abs(far).max(-1)
    return jnp.where(smaller[..., None], near, far)


def to_motion(feature: Float[Array, "*n d"], config: MotionConfig) -> Float[Array, "*n m"]:
    """A motion feature in the representation that is diffused."""
    if config.representation != "euler":
        return feature
    rotation = feature[..., :-TRANSLATION].reshape(*feature.shape[:-1], -1, 3, 3)
    angles = euler_from_rotation(rotation) / ANGLE_UNIT
    flat = angles.reshape(*feature.shape[:-1], -1)
    return jnp.concatenate((flat, feature[..., -TRANSLATION:]), axis=-1)


def project(feature: Float[Array, "*n d"], config: MotionConfig) -> Float[Array, "*n d"]:
    """A motion feature whose 3x3 blocks are the nearest rotations, where the samples' are."""
    loose = config.representation == "rotmat" and not config.project
    if config.representation == "vector" or loose:
        return feature
    blocks = feature[..., :-TRANSLATION].reshape(*feature.shape[:-1], -1, 3, 3)
    flat = nearest_rotation(blocks).reshape(*feature.shape[:-1], -1)
    return jnp.concatenate((flat, feature[..., -TRANSLATION:]), axis=-1)


def to_feature(motion: Float[Array, "*n m"], config: MotionConfig) -> Float[Array, "*n d"]:
    """A sample as a motion feature: rotations are rotations unless `config.project` is off."""
    if config.representation != "euler":
        return project(motion, config)
    blocks, translation = motion[..., :-TRANSLATION], motion[..., -TRANSLATION:]
    rotation = rotation_from_euler(blocks.reshape(*motion.shape[:-1], -1, 3) * ANGLE_UNIT)
    flat = rotation.reshape(*motion.shape[:-1], -1)
    return jnp.concatenate((flat, translation), axis=-1)
