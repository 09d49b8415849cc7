"""Peaks of accelerators by the name that JAX gives a device, from the makers' data sheets."""

import dataclasses
import re
from typing import Any


@dataclasses.dataclass(frozen=True)
class Accelerator:
    """One JAX device: a chip, or one of the two cores of a TPU v2 or v3.

    Attributes:
        kind: how `jax.Device.device_kind` begins.
        teraflops: dense peak of the matrix units in bfloat16 (float16 where there is no bfloat16),
            10^12 operations a second.
        memory: bytes of its memory.
        bandwidth: of its memory, bytes a second.
    """

    kind: str
    teraflops: float
    memory: int
    bandwidth: float


_GIB, _GB = 2**30, 10**9
# The first whose name fits: longer names before their beginnings.
ACCELERATORS = (
    Accelerator("TPU v2", 22.5, 8 * _GIB, 0.35e12),
    Accelerator("TPU v3", 61.5, 16 * _GIB, 0.45e12),
    Accelerator("TPU v4", 275.0, 32 * _GIB, 1.2e12),
    Accelerator("TPU v5 lite", 197.0, 16 * _GIB, 0.82e12),
    Accelerator("TPU v5e", 197.0, 16 * _GIB, 0.82e12),
    Accelerator("TPU v5p", 459.0, 95 * _GIB, 2.77e12),
    Accelerator("TPU v5", 459.0, 95 * _GIB, 2.77e12),
    Accelerator("TPU v6 lite", 918.0, 32 * _GIB, 1.64e12),
    Accelerator("TPU v6e", 918.0, 32 * _GIB, 1.64e12),
    Accelerator("NVIDIA B200", 2250.0, 180 * _GB, 8.0e12),
    Accelerator("NVIDIA H200", 989.0, 141 * _GB, 4.8e12),
    Accelerator("NVIDIA H100 NVL", 835.0, 94 * _GB, 3.9e12),
    Accelerator("NVIDIA H100 PCIe", 756.0, 80 * _GB, 2.0e12),
    Accelerator("NVIDIA H100", 989.0, 80 * _GB, 3.35e12),
    Accelerator("NVIDIA A100-SXM4-40GB", 312.0, 40 * _GB, 1.56e12),
    Accelerator("NVIDIA A100-PCIE-40GB", 312.0, 40 * _GB, 1.56e12),
    Accelerator("NVIDIA A100", 312.0, 80 * _GB, 2.04e12),
    Accelerator("NVIDIA L40S", 362.0, 48 * _GB, 0.86e12),
    Accelerator("NVIDIA L40", 181.0, 48 * _GB, 0.86e12),
    Accelerator("NVIDIA L4", 121.0, 24 * _GB, 0.30e12),
    Accelerator("Tesla T4", 65.0, 16 * _GB, 0.30e12),
    Accelerator("Tesla V100", 125.0, 16 * _GB, 0.90e12),
)


def find(kind: str) -> Accelerator | None:
    """The accelerator of a `device_kind`; None for one without an entry, such as a CPU."""
    return next(
        (one for one in ACCELERATORS if re.match(re.escape(one.kind) + r"(?!\w)", kind)), None
    )


def memory(device: Any) -> int | None:
    """Bytes of a `jax.Device`'s memory: what it says that it may use, else its data sheet's."""
    try:
        limit = (device.memory_stats() or {}).get("bytes_limit")
    except Exception:  # noqa: BLE001 - devices that are described, not there, raise several kinds
        limit = None
    if limit:
        return int(limit)
    known = find(device.device_kind)
    return None if known is None else known.memory
