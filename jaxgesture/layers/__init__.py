"""Layers shared by the networks, written as pure functions first."""
