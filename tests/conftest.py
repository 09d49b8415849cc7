"""Settings that make silent mistakes loud, and where the shared media lie."""

import gc
import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")

import jax
import pytest
from absl import flags

ROOT = pathlib.Path(__file__).resolve().parent.parent

jax.config.update("jax_numpy_rank_promotion", "raise")
_cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache"))
jax.config.update("jax_compilation_cache_dir", str(_cache / "jaxgesture" / "xla-tests"))
jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)

MOST_MEMORY = 2.5  # GiB of one test process, above which compiled programs are dropped

# Grain reads absl flags when it starts worker processes.
if not flags.FLAGS.is_parsed():
    flags.FLAGS.mark_as_parsed()


@pytest.fixture(scope="module", autouse=True)
def bounded_memory():
    """Programs compiled for one file of tests, gigabytes in the end, hardly serve the next one."""
    yield
    with open("/proc/self/statm") as stream:
        resident = int(stream.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    if resident > MOST_MEMORY * 2**30:
        jax.clear_caches()
        gc.collect()


@pytest.fixture(scope="session")
def shared() -> pathlib.Path:
    """The folder of golden arrays and real media; tests that need it are skipped without it."""
    folder = pathlib.Path(os.environ.get("JAXGESTURE_SHARED", ROOT.parent / "shared"))
    if not (folder / "parity").is_dir():
        pytest.skip(f"no golden files: {folder} is missing (set JAXGESTURE_SHARED)")
    return folder
