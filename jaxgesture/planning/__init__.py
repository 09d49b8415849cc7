"""What a training step needs of a machine that is not here: compiled for it, and counted."""
