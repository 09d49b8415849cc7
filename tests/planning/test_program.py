"""What is told of a compiled program, and of a compiler that refuses or fails."""

import types

import jax
import pytest
from planning.texts import PROGRAM, REFUSED
from planning.toys import toy

from jaxgesture.core.errors import UserError
from jaxgesture.core.sharding import MeshConfig
from jaxgesture.planning import chips, hlo, program
from jaxgesture.planning.plans import Request
from jaxgesture.planning.program import Program, TooLarge

FLAG = "jax_enable_compilation_cache"


def test_a_program_sums_its_operations():
    found = Program(1.0, 10, 20, 30, hlo.read(PROGRAM), 0.0)
    assert found.memory == 60 and found.cycles == 9000 + 4000 + 51 * 30
    assert found.collectives == {"all-reduce": (1, 4 * 65), "all-gather": (1, 4 * 512)}


def test_collectives_of_one_kind_are_added_with_their_turns():
    reduce = hlo.Operation("a", "all-reduce", "", "f32[2]", 3, 0, 0.0, 0, 24)
    text = hlo.Text((reduce, reduce, hlo.Operation("b", "add", "", "f32[]", 1, 5, 0.0, 0, 4)), 0)
    assert Program(0.0, 0, 0, 0, text, 0.0).collectives == {"all-reduce": (6, 48)}


@pytest.mark.parametrize(
    ("said", "memory", "limit"),
    [
        ("Used 1.5K of 512 hbm", 1536, 512),
        ("Used 20.5M of 15.75M hbm", int(20.5 * 2**20), int(15.75 * 2**20)),
        ("temporaries (3G) exceeds available HBM (2.5G)", 3 * 2**30, int(2.5 * 2**30)),
    ],
)
def test_units_of_missing_memory(said, memory, limit):
    assert program.too_large(f"RESOURCE_EXHAUSTED: {said}", 2.0) == TooLarge(memory, limit, 2.0)


@pytest.mark.parametrize(
    "message",
    ["", "RESOURCE_EXHAUSTED: something ran out", REFUSED.replace("RESOURCE_EXHAUSTED", "OTHER")],
)
def test_other_errors_say_nothing_of_memory(message):
    assert program.too_large(message, 1.0) is None


@pytest.fixture
def compiled_on(monkeypatch):
    """Compiles a toy on this device with a compiler that says what it is told to."""

    class Jitted:
        def __init__(self, message):
            self.message = message

        def lower(self, *shapes):
            return self

        def compile(self):
            assert not jax.config.values[FLAG]  # no cache can read such a program
            raise jax.errors.JaxRuntimeError(self.message)

    def run(message):
        subject = toy()
        grid = program.make_mesh(subject, jax.devices()[:1], None)
        monkeypatch.setattr(program.jax, "jit", lambda *a, **k: Jitted(message))
        return program.compile_for(subject, grid, 4)

    before = jax.config.values[FLAG]
    yield run
    assert jax.config.values[FLAG] == before


def test_a_program_that_is_too_large_is_an_answer(compiled_on):
    found = compiled_on(REFUSED)
    assert (found.memory, found.limit) == (int(20.5 * 2**30), int(15.75 * 2**30))
    assert found.seconds >= 0


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("INTERNAL: Mosaic failed\nlong\ntrace", "1 chips: INTERNAL: Mosaic failed; try another"),
        ("", "1 chips: JaxRuntimeError; try another batch"),
    ],
)
def test_a_compiler_that_fails_is_one_line(compiled_on, message, said):
    with pytest.raises(UserError, match=said) as caught:
        compiled_on(message)
    assert "\n" not in str(caught.value)


def test_a_batch_that_does_not_divide_names_the_next_that_does():
    grid = types.SimpleNamespace(size=16)
    with pytest.raises(UserError, match=r"a batch of 33 does not divide .* give --batch=48"):
        program.compile_for(toy(), grid, 33)  # pyright: ignore[reportArgumentType]


def test_without_the_compiler_there_is_another_way(monkeypatch):
    monkeypatch.setattr(program.importlib.util, "find_spec", lambda name: None)
    slice_ = chips.parse("v5e:4x4")
    assert isinstance(slice_, chips.Topology)
    with pytest.raises(UserError, match=r'pip install "jaxgesture\[plan\]".*--topology=gpu:8xh200'):
        program.devices(slice_)


def test_a_mesh_that_is_asked_for_goes_before_the_configuration():
    subject = toy(MeshConfig(fsdp=7))
    with pytest.raises(UserError, match="mesh.fsdp=7 do not divide"):
        program.make_mesh(subject, jax.devices()[:1], None)
    grid = program.make_mesh(subject, jax.devices()[:1], None, MeshConfig(1, 1))
    assert dict(grid.shape) == {"data": 1, "fsdp": 1}


@pytest.mark.parametrize(
    ("batch", "configured", "rows"),
    [(None, 16, 16), (None, None, 8), (24, 16, 24), (8, None, 8)],
)
def test_rows_are_those_asked_for_else_the_configurations_else_one_a_chip(batch, configured, rows):
    subject = types.SimpleNamespace(batch_size=configured)
    assert Request(batch=batch).rows(subject, 8) == rows  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("batch", "message"),
    [
        (-8, "--batch=-8 is none; choose 1 or more, or max"),
        (1, "a batch of 1 does not divide over 8 chips; give --batch=8, or --batch=max"),
        (17, "give --batch=24"),
    ],
)
def test_rows_that_are_refused(batch, message):
    with pytest.raises(UserError, match=message):
        Request(batch=batch).rows(toy(), 8)
