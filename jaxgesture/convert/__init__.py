"""Strict, two-way tables between the names of PyTorch state dicts and our variables."""
