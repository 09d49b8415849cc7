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

# Two steps of stage 1 with every loss on meshes of 8 devices against one device, float64: the whole
# state absolute, losses relative. Measured 1.5e-12, a momentum, and 1.4e-12, the gradient's norm.
# In float32 the warp magnifies what is rounded in another order: with the published learning rate
# the first step's losses agree to 6.7e-7 and its parameters to 4.5e-7, but its gradient's norm to
# 3.3e-4; the second step's losses to 1.3e-5, its parameters to 1.7e-5.
STAGE1_MESHES = 1e-9
STAGE1_MESHES_FLOAT32 = 2e-6  # of the first step, losses and parameters
STAGE1_MESHES_GRADIENT = 2e-3  # of the first step, the gradient's norm

# Audio features, absolute errors; librosa on both sides.
AUDIO_MFCC = 1e-3  # measured 0 with librosa 0.11.0
AUDIO_OTHER = 1e-4  # measured 0 with librosa 0.11.0; one-hot columns are compared exactly

# The frozen networks against parity/vgg19_features, vgg16_local_loss and lpips, float32 and float64
# on a CPU. Maps, distances and gradients absolute, losses relative; the first number of a gradient
# holds for 99 % of its entries. Behind "twin": what `jaxgesture.torch_baseline` measures, float32.
VGG_MAPS = 1e-5  # measured 1.7e-6; twin 0
VGG_DEEP_MAPS = 2e-6  # measured 3.3e-7; twin 1.4e-7
VGG_PYRAMID = 5e-6  # measured 1.1e-6; twin 1.1e-6
VGG_LOSSES = 1e-5  # measured 7.1e-7; twin 2.0e-6
VGG_GRADIENT = 1e-6  # measured 5.6e-7; twin in float64 7.6e-10
VGG_GRADIENT_NORM = 1e-3  # the twin in float32: 3.6e-4 without AVX-512, where kinks are passed
VGG_GRADIENT_KINKS = 2e-8  # of all entries, in float64: measured 2.0e-9; twin 2.0e-9
VGG_BFLOAT16 = 3e-2  # relative error of the norm: 6.6e-3 measured
LOCAL_MAPS = 5e-6  # measured 1.1e-6; twin 0
LOCAL_LOSSES = 1e-5  # measured 1.3e-7; twin 0
LOCAL_GRADIENT, LOCAL_GRADIENT_KINKS = 1e-7, 2e-7  # measured 7.3e-12, and 2.6e-11 in float64
# In float32 one entry of a Gram difference has another sign, and of 12,288 entries some are further
# off: at most so many (6 and 22 measured on two CPUs), at most so far (5.4e-7 measured).
LOCAL_GRADIENT_FLIPPED, LOCAL_GRADIENT_SIGNS = 30, 1e-6
LPIPS_DISTANCE = 1e-6  # measured 1.5e-8
LPIPS_GRADIENT, LPIPS_GRADIENT_TIES = 1e-6, 1e-5  # measured 1.5e-9, 2.1e-9

# The discriminator against parity/sn_discriminator: absolute, gradients against their maximum.
DISCRIMINATOR = 2e-6  # measured 2.4e-7; twin 1.1e-7
DISCRIMINATOR_GRADIENT = 1e-4  # measured 2.9e-6; twin 1.5e-6
DISCRIMINATOR_BFLOAT16 = 1e-2  # of logits, against float32: 1.2e-3 measured

# The twin in PyTorch. Against JAX in float64, see `torch_baseline.twins.error`:
TWIN_BLOCKS = 1e-9  # measured 6.2e-11, a gradient of the extractor's
TWIN_LOSSES = 1e-9  # measured 3.6e-16
TWIN_STEP = 1e-8  # measured 7.9e-10, a parameter after the step; its gradient 1.2e-10
# On itself: compiled or channels last, absolute, float64: 1e-15 and 9.6e-13 measured.
TWIN_SAME = 1e-9
# Losses of two traced steps, relative: 2.4e-6 and 0 measured.
TWIN_TRACED = {"float32": 1e-4, "bfloat16": 1e-3}
# Under autocast to bfloat16, relative error of the norm: 2.0e-2, 8.7e-3, 6.8e-4, 7.6e-3 measured.
TWIN_AUTOCAST = {"feature": 0.05, "scene": 0.05, "motion": 0.01, "image": 0.05}

# The twin's denoiser: the same, 6e-3 measured; three steps with Adan in float64, 2.7e-7 measured.
# Adan's constants are float32 in JAX, which shows where its denominator nearly vanishes.
TWIN_MOTION_AUTOCAST = 0.03
TWIN_MOTION_STEP = 3e-6

PSNR_SSIM = 1e-6  # against scikit-image, absolute, float64: 0 measured
BEATS = 1e-6  # the three beat alignments and their parts, absolute, float64: 3e-14 measured

# Six steps of stage 2 on one device against eight (data 4, fsdp 2), two processes of four, and
# begun on another number of devices, float64: losses relative, weights and averages absolute.
# Measured 2.7e-12 and 2.4e-10. In float32 losses of the sixth step differ by 3e-4: where a gradient
# is hardly more than rounding, Adan makes a whole step of it.
STAGE2_MESHES = 1e-8

MOTION_MOMENTS = 1e-6  # of angles / 99 degrees, absolute, float32: 0 measured

# Frechet distances of given features, relative, float64: 1e-15 measured.
FRECHET = 1e-6
# Distances of embedded windows, relative; the embedding is float32.
EMBEDDED = 1e-4

# I3D against parity/i3d_seed0.npz, absolute, float32 on a CPU, plain weights and kernels x 1.3.
I3D_PREPROCESSED = 1e-5  # measured 2.4e-7
I3D = {
    1: {
        "Conv3d_1a_7x7": 1e-5,  # measured 1.5e-6
        "Mixed_3c": 1e-5,  # measured 1.2e-6
        "Mixed_4f": 1e-5,  # measured 3.3e-7
        "pooled": 1e-6,  # measured 2.4e-7
        "logits": 1e-6,  # measured 3.6e-7
        "difference": 2e-6,  # measured 3.4e-7
    },
    1.3: {"pooled": 3e-5, "logits": 3e-5, "difference": 3e-5},  # measured 2.4e-6, 3.8e-6, 3.6e-6
}
I3D_RESIZED = 3e-5  # against JAX's own resize, whose positions are rounded otherwise: 3.7e-6
I3D_BFLOAT16 = 3e-2  # of the first map, relative error of the norm: 2.9e-3 measured

# The autoencoder of poses against the golden file, absolute, float32: feature 1.0e-6, decoded
# windows 3e-7 measured; distances of features relative: 2.6e-7.
POSE_AUTOENCODER = 1e-5
