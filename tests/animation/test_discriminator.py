import json

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tolerances
from parity.torch_names import to_flax
from perceptual import released

from jaxgesture.animation.discriminator import (
    Discriminator,
    DiscriminatorConfig,
    as_matrix,
    lsgan_discriminator,
    lsgan_generator,
    power_iteration,
    spectral_sigma,
)
from jaxgesture.core.errors import UserError

SMALL = DiscriminatorConfig(widths=(4, 6), kernel=3, strides=(2, 1))
LAYERS = (0, 2, 4, 6)


def init(config, size=64, seed=0, train=False):
    image = jnp.zeros((1, size, size, 3))
    return Discriminator(config).init(jax.random.key(seed), image, train=train)


def draw(*shape, seed=0):
    return np.random.default_rng(seed).uniform(0, 1, (*shape, 3)).astype(np.float32)


@pytest.fixture(scope="module")
def golden(shared):
    return np.load(shared / "parity/sn_discriminator_seed0.npz")


def released_variables(shared, golden, dtype):
    """Procedural kernels, and the stored u and v, by our names."""
    make = released.procedural(shared).procedural_array
    image = jax.ShapeDtypeStruct((1, 128, 128, 3), jnp.float32)
    network = Discriminator(DiscriminatorConfig())
    template = jax.eval_shape(
        lambda k, x: network.init(k, x, train=False), jax.random.key(0), image
    )
    names = {f"encoder.{i}.weight_orig": f"encoder.{i}.weight" for i in LAYERS}
    names |= {"classifier.weight": "classifier.weight", "classifier.bias": "classifier.bias"}
    shapes = {
        **{f"encoder.{i}.weight_orig": (o, c, 5, 5)
           for i, c, o in zip(LAYERS, (3, 64, 128, 256), (64, 128, 256, 512), strict=True)},
        "classifier.weight": (1, 512, 5, 5),
        "classifier.bias": (1,),
    }  # fmt: skip
    state = {names[name]: make(name, shape, 0) for name, shape in shapes.items()}
    params = to_flax(state, {"params": template["params"]})["params"]
    stats = {f"encoder_{i}": {"u": golden[f"u0_{i}"], "v": golden[f"v0_{i}"]} for i in LAYERS}
    wanted = jax.tree.map(lambda x: x.shape, template["batch_stats"])
    assert jax.tree.map(lambda x: x.shape, stats) == wanted
    return jax.tree.map(lambda x: jnp.asarray(x, dtype), (params, stats))


@pytest.mark.parity
@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_released_discriminator(shared, golden, dtype):
    with jax.enable_x64(dtype == "float64"), jax.default_matmul_precision("highest"):
        network = Discriminator(DiscriminatorConfig(), dtype)
        params, stats = released_variables(shared, golden, dtype)
        real, fake = (
            jnp.asarray(released.image(golden, f"image_{k}_u8", dtype)) for k in ("real", "fake")
        )

        def forward(params, stats, image):
            variables = {"params": params, "batch_stats": stats}
            out, new = network.apply(variables, image, train=True, mutable=["batch_stats"])
            return out, new["batch_stats"]

        def discriminator_loss(params, stats, real, fake):
            fake_logits, stats = forward(params, stats, fake)
            real_logits, stats = forward(params, stats, real)
            loss = lsgan_discriminator(real_logits, fake_logits)
            parts = jnp.stack([(fake_logits**2).mean(), ((real_logits - 1) ** 2).mean(), loss])
            return loss, (parts, stats)

        def generator_loss(fake, params, stats):
            return lsgan_generator(forward(params, stats, fake)[0])

        @jax.jit
        def everything(params, stats, real, fake):
            def evaluate(image):
                return network.apply({"params": params, "batch_stats": stats}, image, train=False)

            grad = jax.grad(discriminator_loss, has_aux=True)
            grads, (parts, twice) = grad(params, stats, real, fake)
            trained, once = forward(params, stats, real)
            sigma = [
                spectral_sigma(params[f"encoder_{i}"]["kernel"], **stats[f"encoder_{i}"])
                for i in LAYERS
            ]
            return {
                "eval": (evaluate(real), evaluate(fake)),
                "sigma": jnp.stack(sigma),
                "train": trained,
                "once": once,
                "twice": twice,
                "parts": parts,
                "grads": grads,
                "generator": jax.value_and_grad(generator_loss)(fake, params, stats),
            }

        out = everything(params, stats, real, fake)
        assert all(leaf.dtype == dtype for leaf in jax.tree.leaves(out))

    def logits(x):
        return np.asarray(x)[0, :, :, 0]

    def golden_logits(name):
        return golden[name].reshape(11, 11)

    errors = {
        "eval_logits_real": released.error(
            logits(out["eval"][0]), golden_logits("eval_logits_real")
        ),
        "eval_logits_fake": released.error(
            logits(out["eval"][1]), golden_logits("eval_logits_fake")
        ),
        "eval_sigma": released.error(out["sigma"], golden["eval_sigma"]),
        "train_logits_real": released.error(
            logits(out["train"]), golden_logits("train_logits_real")
        ),
        "d_losses": released.error(out["parts"], golden["d_losses"]),
        "g_loss": released.error(out["generator"][0], golden["g_loss"]),
    }
    for i in LAYERS:
        once, twice = out["once"][f"encoder_{i}"], out["twice"][f"encoder_{i}"]
        errors[f"u1_{i}"] = released.error(once["u"], golden[f"u1_{i}"])
        v = once["v"] if i == 0 else once["v"][::8]
        errors[f"v1_{i}"] = released.error(v, golden[f"v1_{i}"])
        errors[f"u2_{i}"] = released.error(twice["u"], golden[f"u2_{i}"])

    def oihw(name):
        return np.asarray(out["grads"][name]["kernel"]).transpose(3, 2, 0, 1)

    gradients = {
        "grad_encoder_0": oihw("encoder_0"),
        "grad_encoder_6": oihw("encoder_6")[::32, ::16],
        "grad_classifier": oihw("classifier")[:, ::8],
        "grad_classifier_bias": out["grads"]["classifier"]["bias"],
        "grad_fake_image": released.channels_first(out["generator"][1])[:, ::4, ::4],
    }
    gradients = {
        name: released.error(value, golden[name]) / np.abs(golden[name]).max()
        for name, value in gradients.items()
    }
    print(errors, gradients)
    assert max(errors.values()) <= tolerances.DISCRIMINATOR, errors
    assert max(gradients.values()) <= tolerances.DISCRIMINATOR_GRADIENT, gradients


def test_shapes_are_the_published_ones(shared):
    manifest = json.loads((shared / "parity/sn_discriminator_state_dict.json").read_text())
    image = jax.ShapeDtypeStruct((2, 128, 128, 3), jnp.float32)
    network = Discriminator(DiscriminatorConfig())
    logits, variables = jax.eval_shape(
        lambda k, x: network.init_with_output(k, x, train=False), jax.random.key(0), image
    )
    assert logits.shape == (2, 11, 11, 1)
    ours = {}
    for i in LAYERS:
        kernel = variables["params"][f"encoder_{i}"]["kernel"].shape
        ours[f"encoder.{i}.weight_orig"] = [kernel[k] for k in (3, 2, 0, 1)]
        for name, value in variables["batch_stats"][f"encoder_{i}"].items():
            ours[f"encoder.{i}.weight_{name}"] = list(value.shape)
    kernel = variables["params"]["classifier"]["kernel"].shape
    ours["classifier.weight"] = [kernel[k] for k in (3, 2, 0, 1)]
    ours["classifier.bias"] = list(variables["params"]["classifier"]["bias"].shape)
    assert ours == manifest


def test_iterations_find_the_largest_singular_value():
    variables = init(SMALL)
    kernel = variables["params"]["encoder_2"]["kernel"]
    start = variables["batch_stats"]["encoder_2"]
    u, v = start["u"], start["v"]
    for _ in range(200):
        u, v = power_iteration(kernel, u)
    largest = np.linalg.svd(np.asarray(as_matrix(kernel)), compute_uv=False)[0]
    assert spectral_sigma(kernel, u, v) == pytest.approx(largest, rel=1e-4)
    # From the start it is not there: the iterations did it.
    assert abs(spectral_sigma(kernel, start["u"], start["v"]) / largest - 1) > 0.1


def test_the_norm_is_differentiable_in_the_kernel_alone():
    variables = init(SMALL)
    kernel = variables["params"]["encoder_2"]["kernel"]
    u, v = (variables["batch_stats"]["encoder_2"][name] for name in ("u", "v"))
    to_kernel, to_u, to_v = jax.grad(spectral_sigma, (0, 1, 2))(kernel, u, v)
    np.testing.assert_allclose(as_matrix(to_kernel), np.outer(u, v), atol=1e-7)
    assert not np.any(to_u) and not np.any(to_v)
    through = jax.grad(lambda k: spectral_sigma(k, *power_iteration(k, u)))(kernel)
    np.testing.assert_allclose(as_matrix(through), np.outer(*power_iteration(kernel, u)), atol=1e-6)


def test_state_moves_in_training_alone():
    network, variables, image = Discriminator(SMALL), init(SMALL), draw(2, 32, 32)
    params, stats = variables["params"], variables["batch_stats"]
    evaluated, same = network.apply(variables, image, train=False, mutable=["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, same["batch_stats"], stats)
    trained, new = network.apply(variables, image, train=True, mutable=["batch_stats"])
    for name, layer in new["batch_stats"].items():
        u, v = power_iteration(params[name]["kernel"], stats[name]["u"])
        np.testing.assert_allclose(layer["u"], u, atol=1e-6)
        np.testing.assert_allclose(layer["v"], v, atol=1e-6)
        assert np.abs(layer["u"] - stats[name]["u"]).max() > 1e-2
    assert np.abs(np.asarray(trained - evaluated)).max() > 1e-4
    # Nothing to store into: the iteration is used all the same.
    unstored = network.apply(variables, image, train=True)
    np.testing.assert_allclose(unstored, trained, atol=1e-6)


def test_kernels_act_with_norm_one():
    network, variables, image = Discriminator(SMALL), init(SMALL), draw(1, 32, 32)
    louder = jax.tree.map(lambda x: x, variables)
    louder["params"]["encoder_0"]["kernel"] = 7 * variables["params"]["encoder_0"]["kernel"]
    np.testing.assert_allclose(
        network.apply(louder, image, train=False),
        network.apply(variables, image, train=False),
        rtol=1e-4, atol=1e-6,
    )  # fmt: skip


def test_initial_vectors():
    first, again, other = init(SMALL), init(SMALL, train=True), init(SMALL, seed=1)
    for layer, same in zip(
        first["batch_stats"].values(), again["batch_stats"].values(), strict=True
    ):
        for name in ("u", "v"):
            assert np.linalg.norm(layer[name]) == pytest.approx(1, abs=1e-6)
            # Initialising is no step, whatever the flag.
            np.testing.assert_array_equal(layer[name], same[name])
    u, others = (v["batch_stats"]["encoder_0"]["u"] for v in (first, other))
    assert np.abs(u - others).max() > 0.1


def test_low_precision_keeps_parameters_state_and_logits_in_float32():
    network = Discriminator(SMALL, jnp.bfloat16)
    variables, image = (
        network.init(jax.random.key(0), draw(1, 32, 32), train=False),
        draw(1, 32, 32),
    )
    logits, new = network.apply(variables, image, train=True, mutable=["batch_stats"])
    full = Discriminator(SMALL).apply(variables, image, train=True)
    leaves = jax.tree.leaves((variables, new, logits))
    assert all(leaf.dtype == jnp.float32 for leaf in leaves)
    difference = np.abs(np.asarray(logits) - np.asarray(full)).max()
    print(difference)
    assert 0 < difference <= tolerances.DISCRIMINATOR_BFLOAT16


def test_least_squares_by_hand():
    real, fake = jnp.asarray([1.0, 0.0]), jnp.asarray([0.5, 1.5])
    assert lsgan_discriminator(real, fake) == pytest.approx(0.5 * (0.5 + 1.25))
    assert lsgan_generator(fake) == pytest.approx(0.25)


def test_too_small_an_image_is_refused():
    config = DiscriminatorConfig()
    assert config.least_size == 47
    with pytest.raises(UserError, match="46 x 64 pixels is too small for the discrim.* needs 47"):
        jax.eval_shape(
            lambda k, x: Discriminator(config).init(k, x, train=False),
            jax.random.key(0),
            jax.ShapeDtypeStruct((1, 46, 64, 3), jnp.float32),
        )
    logits, _ = jax.eval_shape(
        lambda k, x: Discriminator(config).init_with_output(k, x, train=False),
        jax.random.key(0),
        jax.ShapeDtypeStruct((1, 47, 47, 3), jnp.float32),
    )
    assert logits.shape == (1, 1, 1, 1)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"widths": (4, 8)}, "one stride for each width"),
        ({"widths": (), "strides": ()}, "at least one of them"),
        ({"widths": (4, 0), "strides": (2, 2)}, "must be at least 1"),
        ({"widths": (4,), "strides": (0,)}, "must be at least 1"),
        ({"kernel": 1}, "kernel is 1; choose at least 3"),
    ],
)
def test_sizes_that_cannot_be(values, message):
    with pytest.raises(UserError, match=message):
        DiscriminatorConfig(**values)
