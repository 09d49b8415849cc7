"""Disks that are full or read-only, for tests."""

import contextlib
import os
import resource
import subprocess

import pytest


@contextlib.contextmanager
def no_large_files(size):
    """Lets no file of this process grow over `size` bytes: writing more fails like a full disk."""
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, old[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)


def resize(folder, size):
    """Gives a mounted disk another size, in bytes."""
    subprocess.run(["mount", "-o", f"remount,size={size}", str(folder)], check=True)


@contextlib.contextmanager
def small_disk(folder, size):
    """Mounts a disk of `size` bytes at a folder; the test is skipped where that is not allowed."""
    folder.mkdir(exist_ok=True)
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"no disk can be mounted here ({error}); it needs root")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextlib.contextmanager
def read_only(folder):
    """Makes a folder read-only, whoever runs the test."""
    if os.geteuid():
        folder.mkdir(exist_ok=True)
        folder.chmod(0o500)
        yield folder
        folder.chmod(0o700)
        return
    with small_disk(folder, 1 << 20):
        subprocess.run(["mount", "-o", "remount,ro", str(folder)], check=True)
        yield folder
