"""What a measurement says of the machine that it ran on."""

import importlib.metadata
import json
import os
import types

import pytest

from jaxgesture.benchmark import environment
from jaxgesture.core import strict_json


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("processor\t: 0\nmodel name\t: Fast 9: turbo\nmodel name\t: other\n", "Fast 9: turbo"),
        ("processor\t: 0\nBogoMIPS\t: 50\n", "aarch64"),
        ("", "aarch64"),
    ],
)
def test_the_name_of_the_processor(tmp_path, monkeypatch, text, name):
    monkeypatch.setattr(environment, "CPUINFO", tmp_path / "cpuinfo")
    monkeypatch.setattr(environment.platform, "processor", lambda: "")
    monkeypatch.setattr(environment.platform, "machine", lambda: "aarch64")
    assert environment.processor() == "aarch64"  # where the system has no such file
    (tmp_path / "cpuinfo").write_text(text)
    assert environment.processor() == name


@pytest.mark.parametrize(
    ("platform", "kind", "name"),
    [("cpu", "cpu", "cpu, 3 threads"), ("gpu", "NVIDIA H100", "gpu: NVIDIA H100")],
)
def test_the_name_of_the_device(monkeypatch, platform, kind, name):
    device = types.SimpleNamespace(platform=platform, device_kind=kind)
    monkeypatch.setattr(environment.jax, "devices", lambda: [device])
    # Those that the process may use, not those that there are.
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 4, 5}, raising=False)
    assert environment.device_name() == name


def test_a_system_that_does_not_tell_its_load_or_its_cores(monkeypatch):
    monkeypatch.delattr(os, "getloadavg", raising=False)
    monkeypatch.delattr(os, "sched_getaffinity", raising=False)
    monkeypatch.setattr(os, "cpu_count", lambda: 7)
    assert environment.load() is None and environment.device_name() == "cpu, 7 threads"


def test_versions_are_read_without_importing_anything(monkeypatch):
    def version(name):
        if name == "torch":
            raise importlib.metadata.PackageNotFoundError
        return "1.2"

    monkeypatch.setattr(importlib.metadata, "version", version)
    found = environment.versions()
    assert found["torch"] == "not installed" and found["jax"] == "1.2"


def test_all_of_it_is_json():
    found = json.loads(strict_json.dumps(environment.about()))
    assert {"versions", "jax_device", "processor", "cpu_count", "commit"} == set(found)
    assert found["cpu_count"] == os.cpu_count() and found["processor"]
