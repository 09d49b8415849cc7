"""Tolerances of comparisons, each with the error measured beside it."""

# Motion diffusion (relative to the largest value of each golden array, float32, CPU).
S2G_SCHEDULE = 1e-6  # alphas_cumprod and q_sample: 0 measured
S2G_NETWORK = 1e-5  # measured 1.5e-6 (guided pass), 4.5e-6 (50-step DDIM sample)
S2G_LOSSES = 1e-6  # measured 1.8e-7
MOTION_SELECTION = 1e-9  # absolute, float64: 7e-15 measured

# The base model against parity/ssl_stage1_seed0.npz, relative error of the norm, float32 on a CPU.
STAGE1_NETWORK = 1e-5  # measured 1.5e-6
STAGE1_STAGED = 1e-4  # measured 1.6e-5 warped, 5.7e-6 prediction
STAGE1_WARPED = 2e-3  # measured 4.8e-4
STAGE1_PREDICTION = 1e-3  # measured 1.7e-4

# The base model on itself, absolute, images in [0, 1], float32 on a CPU: parts joined against the
# whole, single poses against a batch. Measured 1.6e-5.
STAGE1_BATCHING = 1e-4

# Adan (absolute; parameters are of order 1, float32, CPU): 3.6e-7 and 9e-8 measured.
ADAN_PARAMETERS = 3e-6
ADAN_MOMENTS = 3e-6

# Four steps on 8 devices, any mesh, against one device (absolute, whole state): 2.4e-7 measured.
MESHES = 1e-5

# Audio features, absolute errors; librosa on both sides.
AUDIO_MFCC = 1e-3  # measured 0 with librosa 0.11.0
AUDIO_OTHER = 1e-4  # measured 0 with librosa 0.11.0; one-hot columns are compared exactly

# The frozen networks against parity/vgg19_features, vgg16_local_loss and lpips, float32 and float64
# on a CPU. Maps, distances and gradients absolute, losses relative; the first number of a gradient
# holds for 99 % of its entries.
VGG_MAPS = 1e-5  # measured 1.7e-6
VGG_DEEP_MAPS = 2e-6  # measured 3.3e-7
VGG_PYRAMID = 5e-6  # measured 1.1e-6
VGG_LOSSES = 1e-5  # measured 7.1e-7
VGG_GRADIENT, VGG_GRADIENT_KINKS = 1e-6, 2e-5  # measured 5.6e-7, 1.0e-6
VGG_BFLOAT16 = 3e-2  # relative error of the norm: 6.6e-3 measured
LOCAL_MAPS = 5e-6  # measured 1.1e-6
LOCAL_LOSSES = 1e-5  # measured 1.3e-7
LOCAL_GRADIENT, LOCAL_GRADIENT_KINKS = 1e-7, 2e-7  # measured 7.3e-12, and 2.6e-11 in float64
# In float32 one entry of a Gram difference has another sign: 22 of 12288 entries, 5.4e-7 measured.
LOCAL_GRADIENT_SIGNS = 1e-6
LPIPS_DISTANCE = 1e-6  # measured 1.5e-8
LPIPS_GRADIENT, LPIPS_GRADIENT_TIES = 1e-6, 1e-5  # measured 1.5e-9, 2.1e-9

# The discriminator against parity/sn_discriminator: absolute, gradients against their maximum.
DISCRIMINATOR = 2e-6  # measured 2.4e-7
DISCRIMINATOR_GRADIENT = 1e-4  # measured 2.9e-6
DISCRIMINATOR_BFLOAT16 = 1e-2  # of logits, against float32: 1.2e-3 measured

PSNR_SSIM = 1e-6  # against scikit-image, absolute, float64: 0 measured
