"""Stage 2: a diffusion model that writes motion features from speech."""
