"""How many processes train together, and which of them this is: from flags or from the launcher."""

import dataclasses
import glob
import importlib.util
import os
import re
from collections.abc import Mapping, Sequence

from jaxgesture.core.errors import UserError

# Where JAX looks for a coordinator on TPU hosts, which name none.
TPU_PORT = 8482
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")


@dataclasses.dataclass(frozen=True)
class Launch:
    """How this process was started.

    Attributes:
        count: processes in all; 0 where only JAX can tell, from a TPU's metadata server.
        index: of this process.
        host: of process 0.
        port: where process 0 listens; one more is JAX's coordinator.
        by: what told it, for people.
        devices: GPUs of the host for this process; None for all.
    """

    count: int = 1
    index: int = 0
    host: str = ""
    port: int = 0
    by: str = ""
    devices: Sequence[int] | None = None

    def __post_init__(self):
        if self.count and not 0 <= self.index < self.count:
            raise UserError(
                f"process {self.index} of {self.count} (by {self.by}) is none: number the "
                f"processes from 0 to {self.count - 1}"
            )
        # The next port is taken as well.
        if self.count > 1 and not 0 < self.port < 2**16 - 1:
            raise UserError(
                f"port {self.port} (by {self.by}) cannot be used; choose one from 1 to 65534, the "
                "same for all processes"
            )


def find(
    coordinator: str | None = None,
    count: int | None = None,
    index: int | None = None,
    environment: Mapping[str, str] = os.environ,
) -> Launch:
    """Finds out which of how many processes this is.

    The first of these that is there: the arguments; JAX_COORDINATOR_ADDRESS with JAX_NUM_PROCESSES
    and JAX_PROCESS_ID; torchrun and its like (RANK, WORLD_SIZE, MASTER_ADDR, MASTER_PORT,
    LOCAL_RANK); Slurm's srun; Open MPI's mpirun; the hosts of a TPU slice, from the environment
    (GKE) or from the metadata server (Cloud TPU VMs). Otherwise it is alone.

    Args:
        coordinator: HOST:PORT of process 0.
        count: processes in all.
        index: of this process.
        environment: its variables.

    Raises:
        UserError: if something says half of it, or what cannot be.
    """
    if count == 1 and coordinator is None and not index:
        return Launch()
    given = {"--coordinator": coordinator, "--processes": count, "--process": index}
    if any(value is not None for value in given.values()):
        return _complete(given, "flags")
    launch = (
        _from_jax(environment)
        or _from_torchrun(environment)
        or _from_slurm(environment)
        or _from_open_mpi(environment)
        or _from_tpu(environment)
        or Launch()
    )
    return launch if launch.count != 1 else Launch()


def _complete(given: Mapping[str, str | int | None], by: str, port: int | None = None) -> Launch:
    """A launch from the address, the count and the index, whatever their names."""
    missing = [name for name, value in given.items() if value is None]
    if missing:
        there = " and ".join(f"{k}={v}" for k, v in given.items() if v is not None)
        raise UserError(
            f"{there} {'needs' if len(missing) > 1 else 'need'} {' and '.join(missing)} too: all "
            "processes have the same address and number of processes, each its own index from 0; "
            "--processes=1 trains in this process alone"
        )
    (name, address), *numbers = given.items()
    counted = [_integer(key, value) for key, value in numbers]
    host, _, text = str(address).rpartition(":")
    if port is None:
        if not host:
            raise UserError(f"{name}={address} is no HOST:PORT; name process 0's host and a port")
        port = _integer(f"the port of {name}", text)
    else:
        host = str(address)
    if counted[0] < 1:
        raise UserError(f"{numbers[0][0]}={counted[0]} is no number of processes; give 1 or more")
    return Launch(counted[0], counted[1], host.strip("[]"), port, by)


def _integer(name: str, value: str | int | None) -> int:
    try:
        return int(value)  # pyright: ignore[reportArgumentType]
    except (TypeError, ValueError):
        raise UserError(f"{name} is {value!r}; it must be a whole number") from None


def _from_jax(environment: Mapping[str, str]) -> Launch | None:
    names = ("JAX_COORDINATOR_ADDRESS", "JAX_NUM_PROCESSES", "JAX_PROCESS_ID")
    given = {name: environment.get(name) for name in names}
    if given["JAX_COORDINATOR_ADDRESS"] is None:
        return None
    return _complete(given, "JAX_COORDINATOR_ADDRESS")


def _from_torchrun(environment: Mapping[str, str]) -> Launch | None:
    names = ("MASTER_ADDR", "WORLD_SIZE", "RANK", "MASTER_PORT")
    given = {name: environment.get(name) for name in names}
    if given["RANK"] is None or given["WORLD_SIZE"] is None:
        return None
    if given["WORLD_SIZE"] == "1":
        return Launch()
    if None not in given.values():
        # At the port itself torchrun's own store listens.
        run_by_torch = "TORCHELASTIC_RUN_ID" in environment
        port = _integer("MASTER_PORT", given.pop("MASTER_PORT")) + run_by_torch
        launch = _complete(given, "torchrun" if run_by_torch else "RANK and WORLD_SIZE", port)
        alone = environment.get("LOCAL_WORLD_SIZE") == "1"
        return _with_devices(launch, None if alone else environment.get("LOCAL_RANK"), environment)
    return _complete(given, "RANK and WORLD_SIZE")


def _from_slurm(environment: Mapping[str, str]) -> Launch | None:
    if not all(name in environment for name in _SLURM):
        return None
    job, nodes, count, index, local = (environment[name] for name in _SLURM)
    first = re.match(r"([^,\[]+)(?:\[([^],-]+))?", nodes)
    if first is None:
        raise UserError(f"SLURM_STEP_NODELIST={nodes} names no host; give --coordinator")
    # Of the job, so that all processes come to the same and two jobs on a host to others.
    port = environment.get("JAX_COORDINATOR_PORT", str(61440 + _integer(_SLURM[0], job) % 4096))
    launch = Launch(
        _integer(_SLURM[2], count),
        _integer(_SLURM[3], index),
        "".join(part for part in first.groups() if part),
        _integer("JAX_COORDINATOR_PORT", port),
        "Slurm",
    )
    alone = environment.get("SLURM_STEP_NUM_NODES") == count
    return _with_devices(launch, None if alone else local, environment)


def _from_open_mpi(environment: Mapping[str, str]) -> Launch | None:
    count, index = (environment.get(f"OMPI_COMM_WORLD_{name}") for name in ("SIZE", "RANK"))
    if count is None or index is None:
        return None
    uri = environment.get("OMPI_MCA_orte_hnp_uri", "")
    found = re.match(r"(\d+)\..*?(?:tcp://([^,:]+)|tcp6://\[([^],]+))", uri)
    if found is None and count != "1":
        raise UserError(
            f"this is process {index} of {count} by Open MPI, which does not say where process 0 "
            "is; give --coordinator=HOST:PORT --processes=$OMPI_COMM_WORLD_SIZE "
            "--process=$OMPI_COMM_WORLD_RANK"
        )
    job, *hosts = found.groups() if found else ("0", "localhost")
    port = environment.get("JAX_COORDINATOR_PORT", str(61440 + int(job) // 4096 % 4096))
    launch = Launch(
        _integer("OMPI_COMM_WORLD_SIZE", count),
        _integer("OMPI_COMM_WORLD_RANK", index),
        next(host for host in hosts if host),
        _integer("JAX_COORDINATOR_PORT", port),
        "Open MPI",
    )
    alone = environment.get("OMPI_COMM_WORLD_LOCAL_SIZE") == "1"
    local = None if alone else environment.get("OMPI_COMM_WORLD_LOCAL_RANK")
    return _with_devices(launch, local, environment)


def _from_tpu(environment: Mapping[str, str]) -> Launch | None:
    hosts, worker = (environment.get(f"TPU_WORKER_{name}") for name in ("HOSTNAMES", "ID"))
    if hosts and worker is not None:
        names = hosts.split(",")
        slices = _integer("MEGASCALE_NUM_SLICES", environment.get("MEGASCALE_NUM_SLICES", 1))
        number = _integer("MEGASCALE_SLICE_ID", environment.get("MEGASCALE_SLICE_ID", 0))
        first = environment.get("MEGASCALE_COORDINATOR_ADDRESS", names[0]).partition(":")[0]
        port = environment.get("JAX_COORDINATOR_PORT", TPU_PORT)
        return Launch(
            slices * len(names),
            number * len(names) + _integer("TPU_WORKER_ID", worker),
            first,
            _integer("JAX_COORDINATOR_PORT", port),
            "TPU_WORKER_HOSTNAMES",
        )
    # libtpu alone says little: `jaxgesture plan` uses it on machines of any kind.
    chips = glob.glob("/dev/accel*") + glob.glob("/dev/vfio/[0-9]*")
    metadata = "TPU_SKIP_MDS_QUERY" not in environment
    if chips and metadata and importlib.util.find_spec("libtpu"):
        return Launch(count=0, by="the TPU's metadata")
    return None


def _with_devices(launch: Launch, local: str | None, environment: Mapping[str, str]) -> Launch:
    """One GPU for each process of a host, unless the launcher has given it just one to see."""
    visible = environment.get("CUDA_VISIBLE_DEVICES")
    if local is None or "JAX_LOCAL_DEVICE_IDS" in environment:
        return launch
    if visible is not None and "," not in visible:
        return launch
    return dataclasses.replace(launch, devices=[_integer("the local rank", local)])
