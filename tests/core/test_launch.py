"""Which of how many processes this is, as launchers say it."""

import pytest

from jaxgesture.core import launch
from jaxgesture.core.errors import UserError
from jaxgesture.core.launch import Launch, find

SLURM = {
    "SLURM_JOB_ID": "70001", "SLURM_STEP_NODELIST": "node[003-004,9],other", "SLURM_NTASKS": "8",
    "SLURM_PROCID": "5", "SLURM_LOCALID": "1", "SLURM_STEP_NUM_NODES": "4",
}  # fmt: skip
TORCH = {
    "MASTER_ADDR": "ten", "MASTER_PORT": "500", "WORLD_SIZE": "4", "RANK": "3", "LOCAL_RANK": "1",
}  # fmt: skip
OPEN_MPI = {
    "OMPI_COMM_WORLD_SIZE": "4", "OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_LOCAL_RANK": "0",
    "OMPI_COMM_WORLD_LOCAL_SIZE": "1",
    "OMPI_MCA_orte_hnp_uri": "1531576320.0;tcp://10.96.0.1,10.148.0.1:34911",
}  # fmt: skip
TPU = {"TPU_WORKER_HOSTNAMES": "a,b,c,d", "TPU_WORKER_ID": "2"}
SLICES = {
    "MEGASCALE_NUM_SLICES": "2", "MEGASCALE_SLICE_ID": "1", "MEGASCALE_COORDINATOR_ADDRESS": "z:80",
}  # fmt: skip
JAX = {
    "JAX_COORDINATOR_ADDRESS": "[::1]:77", "JAX_NUM_PROCESSES": "2", "JAX_PROCESS_ID": "1",
}  # fmt: skip


@pytest.mark.parametrize(
    "environment, expected",
    [
        ({}, Launch()),
        (JAX, Launch(2, 1, "::1", 77, "JAX_COORDINATOR_ADDRESS")),
        (TORCH, Launch(4, 3, "ten", 500, "RANK and WORLD_SIZE", [1])),
        ({**TORCH, "LOCAL_WORLD_SIZE": "1"}, Launch(4, 3, "ten", 500, "RANK and WORLD_SIZE")),
        ({**TORCH, "TORCHELASTIC_RUN_ID": "x"}, Launch(4, 3, "ten", 501, "torchrun", [1])),
        ({**TORCH, "CUDA_VISIBLE_DEVICES": "6"}, Launch(4, 3, "ten", 500, "RANK and WORLD_SIZE")),
        ({**TORCH, "WORLD_SIZE": "1", "RANK": "0"}, Launch()),
        (SLURM, Launch(8, 5, "node003", 61440 + 70001 % 4096, "Slurm", [1])),
        (
            {**SLURM, "SLURM_STEP_NUM_NODES": "8", "JAX_COORDINATOR_PORT": "9"},
            Launch(8, 5, "node003", 9, "Slurm"),
        ),
        ({**SLURM, "SLURM_NTASKS": "1", "SLURM_PROCID": "0"}, Launch()),
        (OPEN_MPI, Launch(4, 2, "10.96.0.1", 61440 + 1531576320 // 4096 % 4096, "Open MPI")),
        (TPU, Launch(4, 2, "a", 8482, "TPU_WORKER_HOSTNAMES")),
        ({**TPU, **SLICES}, Launch(8, 6, "z", 8482, "TPU_WORKER_HOSTNAMES")),
        # What is closer to this process goes first.
        ({**SLURM, **TORCH}, Launch(4, 3, "ten", 500, "RANK and WORLD_SIZE", [1])),
        ({**SLURM, **TORCH, **JAX}, Launch(2, 1, "::1", 77, "JAX_COORDINATOR_ADDRESS")),
    ],
)
def test_launchers(environment, expected):
    assert find(environment=environment) == expected


def test_flags_go_before_any_launcher():
    assert find("here:12", 3, 2, TORCH) == Launch(3, 2, "here", 12, "flags")
    assert find(None, 1, None, TORCH) == Launch()


def test_a_tpu_without_names_is_left_to_jax(monkeypatch):
    monkeypatch.setattr(launch.glob, "glob", lambda pattern: [pattern])
    monkeypatch.setattr(launch.importlib.util, "find_spec", lambda name: name)
    assert find(environment={}) == Launch(count=0, by="the TPU's metadata")
    assert find(environment={"TPU_SKIP_MDS_QUERY": "1"}) == Launch()


@pytest.mark.parametrize(
    "arguments, environment, message",
    [
        (("here:12", None, None), {}, "--coordinator=here:12 needs --processes and --process too"),
        ((None, 2, None), {}, "--processes=2 needs --coordinator and --process too"),
        (("here:12", 2, None), {}, "--processes=2 need --process too: all processes have the same"),
        (("here", 2, 0), {}, "--coordinator=here is no HOST:PORT"),
        (("here:x", 2, 0), {}, "the port of --coordinator is 'x'; it must be a whole number"),
        (("here:12", 2, 2), {}, "process 2 of 2 (by flags) is none: number the processes from 0"),
        (("here:12", 0, 0), {}, "--processes=0 is no number of processes"),
        ((), {**TORCH, "RANK": "many"}, "RANK is 'many'; it must be a whole number"),
        ((), {"RANK": "0", "WORLD_SIZE": "2"}, "needs MASTER_ADDR and MASTER_PORT too"),
        ((), {"JAX_COORDINATOR_ADDRESS": "a:1"}, "needs JAX_NUM_PROCESSES and JAX_PROCESS_ID too"),
        ((), {**OPEN_MPI, "OMPI_MCA_orte_hnp_uri": ""}, "Open MPI, which does not say where"),
    ],
)
def test_what_cannot_be(arguments, environment, message):
    with pytest.raises(UserError) as caught:
        find(*arguments, environment=environment)
    assert message in str(caught.value)
