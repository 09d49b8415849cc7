"""Tolerances of comparisons, each with the error measured beside it."""

# Motion diffusion (relative to the largest value of each golden array, float32, CPU).
S2G_SCHEDULE = 1e-6
S2G_NETWORK = 1e-5
S2G_LOSSES = 1e-6
MOTION_SELECTION = 1e-9

# The base model against parity/ssl_stage1_seed0.npz, relative error of the norm, float32 on a CPU.
STAGE1_NETWORK = 1e-5  # measured 1.5e-6
STAGE1_STAGED = 1e-4  # measured 1.6e-5 warped, 5.7e-6 prediction
STAGE1_WARPED = 2e-3  # measured 4.8e-4
STAGE1_PREDICTION = 1e-3  # measured 1.7e-4
