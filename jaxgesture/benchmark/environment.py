"""What a measurement hangs on besides the code: versions, devices, threads, commit."""

import importlib.metadata
import os
import pathlib
import platform
import subprocess
from typing import Any

import jax

import jaxgesture
from jaxgesture.core import meta

ROOT = pathlib.Path(jaxgesture.__file__).resolve().parent.parent
CPUINFO = pathlib.Path("/proc/cpuinfo")


def about() -> dict[str, Any]:
    """Versions, device, processors and commit, for JSON."""
    return {
        "versions": versions(),
        "jax_device": device_name(),
        "processor": processor(),
        "cpu_count": os.cpu_count(),
        "commit": commit(ROOT),
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


def commit(folder: pathlib.Path) -> str | None:
    """The commit of a clone, "dirty" where files differ from it; None elsewhere."""

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(folder), *arguments]
        found = subprocess.run(command, capture_output=True, text=True, check=True, timeout=30)
        return found.stdout.strip()

    try:
        # An installed package may lie inside of somebody else's repository.
        if pathlib.Path(git("rev-parse", "--show-toplevel")).resolve() != folder.resolve():
            return None
        head, changed = git("rev-parse", "HEAD"), git("status", "--porcelain")
    except (OSError, subprocess.SubprocessError):
        return None
    return f"{head[:12]} dirty" if changed else head[:12]
