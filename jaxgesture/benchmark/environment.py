"""What a measurement hangs on besides the code: versions, devices, threads, commit."""

import importlib.metadata
import os
import pathlib
import platform
from typing import Any

import jax

from jaxgesture.core import meta

CPUINFO = pathlib.Path("/proc/cpuinfo")


def about() -> dict[str, Any]:
    """Versions, device, processors and commit, for JSON."""
    return {
        "versions": versions(),
        "jax_device": device_name(),
        "processor": processor(),
        "cpu_count": os.cpu_count(),
        "commit": meta.commit(),
    }


def load() -> float | None:
    """Programs that wanted a core in the last minute; None where the system does not say."""
    return os.getloadavg()[0] if hasattr(os, "getloadavg") else None


def device_name() -> str:
    """JAX's device for people; on a CPU with XLA's threads, one for each core it may use."""
    device = jax.devices()[0]
    if device.platform != "cpu":
        return f"{device.platform}: {device.device_kind}"
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"cpu, {cores} threads"


def versions() -> dict[str, str]:
    """Versions of Python and the packages, PyTorch included; nothing is imported."""
    found = meta.versions()
    try:
        found["torch"] = importlib.metadata.version("torch")
    except importlib.metadata.PackageNotFoundError:
        found["torch"] = "not installed"
    return found


def processor() -> str:
    """The processor's name."""
    if CPUINFO.is_file():
        for line in CPUINFO.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.processor() or platform.machine()
