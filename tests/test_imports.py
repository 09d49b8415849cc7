"""What importing costs, and the arrows between the packages."""

import ast
import pathlib
import subprocess
import sys

import pytest

PACKAGE = pathlib.Path(__file__).resolve().parent.parent / "jaxgesture"

# From importer to imported; `core` and `layers` are open to all above them.
ALLOWED = {
    "core": set(),
    "layers": {"core"},
    "data": {"core"},
    "convert": {"core"},
    "perceptual": {"core", "layers"},
    "evaluation": {"core", "layers", "perceptual", "data"},
    "study": {"core", "evaluation"},
    "embedding": {"core", "layers", "data", "perceptual"},
    "planning": {"core", "data", "animation", "motion", "perceptual"},
    # The released state dict is one of the ways in, so the model knows its names.
    "animation": {"core", "layers", "data", "convert", "perceptual", "evaluation"},
    "motion": {"core", "layers", "data", "convert", "evaluation"},
    "generation": {"core", "data", "animation", "motion"},
    "demo": {"core", "data", "evaluation", "animation", "motion", "generation"},
    # Sizes are one for both sides; nothing else of a model is shared with its twin.
    "torch_baseline": {"core", "animation", "motion"},
    "benchmark": {
        "core", "layers", "data", "convert", "perceptual", "animation", "motion", "generation",
        "torch_baseline",
    },
    "cli": {
        "core", "data", "evaluation", "perceptual", "convert", "animation", "motion", "generation",
        "demo", "benchmark", "study", "embedding", "planning",
    },
}  # fmt: skip
FORBIDDEN = {"torch", "tensorflow", "transformers", "cv2", "clu", "chex"}
# Where PyTorch may be imported: at the top of the twin and of its side of the benchmark, which are
# themselves imported only when they are asked for, and inside functions that read its files.
TORCH = {"torch_baseline", "benchmark/torch_side.py", "core/weight_files.py"}

# What is imported inside functions, for those who have the extra.
LAZY = {"data/wavlm.py": {"torch", "transformers"}}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            if node.module == "jaxgesture":
                yield from (f"jaxgesture.{alias.name}" for alias in node.names)


def modules():
    return sorted(PACKAGE.rglob("*.py"))


def test_every_package_has_its_arrows():
    found = {p.relative_to(PACKAGE).parts[0] for p in modules() if p.parent != PACKAGE}
    assert found == set(ALLOWED)


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(PACKAGE)))
def test_arrows(path):
    parts = path.relative_to(PACKAGE).parts
    for name in imported(path):
        root, *rest = name.split(".")
        allowed = {"torch"} if {parts[0], "/".join(parts)} & TORCH else set()
        allowed |= LAZY.get("/".join(parts), set())
        assert root not in FORBIDDEN - allowed, f"{path.name} imports {name}"
        if len(parts) > 1 and root == "jaxgesture" and rest:
            target = rest[0]
            if target in ALLOWED and target != parts[0]:
                assert target in ALLOWED[parts[0]], f"{'/'.join(parts)} imports {name}"


def test_a_wrong_arrow_is_seen(tmp_path):
    path = tmp_path / "wrong.py"
    path.write_text("from jaxgesture.animation.model import Animation\n")
    (name,) = imported(path)
    assert name.split(".")[1] not in ALLOWED["motion"] and name.split(".")[1] not in ALLOWED["data"]


def test_import_is_light():
    code = (
        "import time; start = time.perf_counter(); import jaxgesture, sys\n"
        "spent = time.perf_counter() - start\n"
        "assert jaxgesture.load_animation and jaxgesture.generate\n"
        "heavy = {'torch', 'tensorflow'} & set(sys.modules)\n"
        "from jax._src import xla_bridge\n"
        "assert not heavy, heavy\n"
        "assert not xla_bridge.backends_are_initialized()\n"
        "print(spent)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=PACKAGE.parent
    )
    assert float(run.stdout) < 1.5


def test_unknown_public_name():
    import jaxgesture

    with pytest.raises(AttributeError, match="no attribute 'generat'"):
        _ = jaxgesture.generat
