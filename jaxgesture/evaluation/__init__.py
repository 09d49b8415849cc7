"""Metrics over arrays, and callables that produce them; knows no model."""
