import jax
import jax.numpy as jnp
import numpy as np
import pytest

from jaxgesture.layers.attention import MultiHeadAttention, attend


def test_attention_equals_a_loop_over_heads():
    rng = np.random.default_rng(0)
    q, k, v = (rng.standard_normal((2, n, 6)).astype(np.float32) for n in (3, 5, 5))
    result = attend(jnp.asarray(q), jnp.asarray(k), jnp.asarray(v), heads=2)
    for b in range(2):
        for head in range(2):
            cut = slice(3 * head, 3 * head + 3)
            logits = q[b, :, cut] @ k[b, :, cut].T / np.sqrt(3)
            weights = np.exp(logits) / np.exp(logits).sum(-1, keepdims=True)
            np.testing.assert_allclose(result[b, :, cut], weights @ v[b, :, cut], atol=1e-6)


def test_softmax_is_float32_in_bfloat16():
    # 300 equal logits: bfloat16 weights summed in bfloat16 would be several percent off.
    ones = jnp.ones((1, 300, 8), jnp.bfloat16)
    out = attend(ones, ones, ones, heads=1)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(np.asarray(out, np.float32), 1, atol=1e-2)


@pytest.mark.parity
def test_module_equals_pytorch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(1)
    theirs = torch.nn.MultiheadAttention(8, 2, batch_first=True)
    q, k, v = (rng.standard_normal((2, n, 8)).astype(np.float32) for n in (3, 4, 4))
    weights = {n: p.detach().numpy() for n, p in theirs.named_parameters()}
    weights["in_proj_bias"] = rng.standard_normal(24).astype(np.float32)
    with torch.no_grad():
        theirs.in_proj_bias.copy_(torch.from_numpy(weights["in_proj_bias"]))
        expected = theirs(*(torch.from_numpy(x) for x in (q, k, v)))[0].numpy()
    params = {
        "in_proj_kernel": weights["in_proj_weight"].T,
        "in_proj_bias": weights["in_proj_bias"],
        "out_proj": {"kernel": weights["out_proj.weight"].T, "bias": weights["out_proj.bias"]},
    }
    ours = MultiHeadAttention(2)
    shapes = jax.eval_shape(lambda: ours.init(jax.random.key(0), q, k, v))["params"]
    assert jax.tree.map(np.shape, params) == jax.tree.map(lambda x: x.shape, shapes)
    result = ours.apply({"params": params}, q, k, v)
    np.testing.assert_allclose(np.asarray(result), expected, atol=1e-6)
