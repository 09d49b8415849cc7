"""Stage 1: redraws a source image in the pose of a latent motion feature."""
