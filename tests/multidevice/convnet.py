"""Trains a toy convolution network on several meshes and prints what came out as JSON.

Usage: convnet.py WORKDIR. Run with eight fake devices; every mesh is trained in this one process.
"""

import json
import sys

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
from multidevice import fake_devices

from jaxgesture.core import accumulate, loop, rng, sharding, state, tree
from jaxgesture.core.checkpoint import CheckpointConfig, restore_networks

OPTIMIZER = optax.sgd(0.05, momentum=0.9)
STEPS = 4
PARTS = 2  # that the gradient is computed in
MESHES = []  # that steps were traced for


class Net(nn.Module):
    @nn.compact
    def __call__(self, x):
        x = nn.relu(nn.Conv(16, (3, 3))(x))
        x = nn.BatchNorm(use_running_average=False, momentum=0.9)(x)
        x = nn.relu(nn.Conv(64, (3, 3), strides=2)(x))
        return nn.Dense(1)(jnp.mean(x, axis=(1, 2)))


def init(key):
    variables = Net().init(rng.stream(key, "net"), jnp.zeros((1, 8, 8, 3)))
    return state.create_state(
        net=state.create_network(
            variables["params"], OPTIMIZER, stats=variables["batch_stats"], ema=True
        )
    )


def step(now, batch, key):
    net = now.networks["net"]

    def loss_fn(params, rows, stats, part):
        noise = 0.1 * jax.random.normal(jax.random.fold_in(key, part), rows["x"].shape)
        out, new = Net().apply(
            {"params": params, "batch_stats": stats}, rows["x"] + noise, mutable=["batch_stats"]
        )
        return jnp.mean((out - rows["y"]) ** 2), ({}, {}, new["batch_stats"])

    MESHES.append(dict(jax.sharding.get_abstract_mesh().shape))
    loss, grads, _, _, stats = accumulate.gradients(loss_fn, net.params, batch, net.stats, PARTS)
    net, norm = state.apply_gradients(net, grads, OPTIMIZER, ema_decay=0.9, stats=stats)
    return now.replace(networks={"net": net}), {"loss": loss, "update": norm}


def batches(start):
    index = start
    while True:
        x = np.random.Generator(np.random.PCG64(index)).standard_normal((16, 8, 8, 3))
        yield {"x": x.astype("f4"), "y": x[:, 0, 0, :1].astype("f4")}
        index += 1


def train(*arguments):
    return fake_devices.train(loop.Stage("toy", init, step), batches, *arguments)


def host(now):
    return {name: np.asarray(leaf) for name, leaf in tree.flatten(now).items()}


def placed():
    """Shapes on one of eight devices, in a step traced for its mesh or not."""
    mesh = sharding.make_mesh(sharding.MeshConfig(2, 4))
    parts = {"kernel": jnp.zeros((8, 256)), "bias": jnp.zeros(256)}
    state = jax.device_put(parts, sharding.state_shardings(parts, mesh))
    whole = jax.device_put(parts, sharding.replicated(mesh))

    def shapes(function, values):
        made = jax.jit(lambda values: function(values))(values)
        return {name: leaf.addressable_shards[0].data.shape for name, leaf in made.items()}

    found = {"outside": shapes(sharding.gathered, state)}
    with sharding.within(mesh):
        found["gathered"] = shapes(sharding.gathered, state)
        found["split"] = shapes(sharding.split, whole)
    return found


def main(workdir):
    one_device, out = jax.devices()[:1], {"placed": placed()}
    whole = host(train(f"{workdir}/one", STEPS, sharding.MeshConfig(), one_device))

    def error(now):
        return max(float(np.max(np.abs(whole[k] - v))) for k, v in host(now).items())

    for name, mesh in {"dp8": (8, 1), "fsdp8": (1, 8), "2x4": (2, 4)}.items():
        now = train(f"{workdir}/{name}", STEPS, sharding.MeshConfig(*mesh))
        kernel = now.networks["net"].params["Conv_1"]["kernel"]
        out[name] = {
            "error": error(now),
            "traced for": MESHES[-1],
            "shard": kernel.addressable_shards[0].data.shape,
            "momentum": now.networks["net"]
            .opt_state[0]
            .trace["Conv_1"]["kernel"]
            .addressable_shards[0]
            .data.shape,
        }
    # Eight devices, then one, then eight in another mesh.
    train(f"{workdir}/moved", 2, sharding.MeshConfig(1, 8))
    train(f"{workdir}/moved", 3, sharding.MeshConfig(), one_device)
    out["moved"] = {"error": error(train(f"{workdir}/moved", STEPS, sharding.MeshConfig(2, 4)))}
    networks, _ = restore_networks(f"{workdir}/fsdp8")
    kernel = networks["net"].params["Conv_1"]["kernel"]
    out["inference"] = {
        "devices": len(kernel.devices()),
        "error": float(
            np.max(np.abs(np.asarray(kernel) - whole["networks/net/params/Conv_1/kernel"]))
        ),
    }
    try:
        uneven = ({k: v[:12] for k, v in batch.items()} for batch in batches(0))
        loop.run(
            loop.Stage("toy", init, step),
            lambda start: uneven,
            f"{workdir}/uneven",
            loop.TrainConfig(steps=1),
            CheckpointConfig(),
            sharding.MeshConfig(),
        )
    except Exception as error_:
        out["uneven"] = f"{type(error_).__name__}: {error_}"
    print(json.dumps(out))


if __name__ == "__main__":
    main(sys.argv[1])
