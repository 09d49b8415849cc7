"""Both models in JAX and in PyTorch side by side: the same weights, inputs and device."""
