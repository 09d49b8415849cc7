"""Frozen feature networks, the losses on their maps, and their weight files."""
