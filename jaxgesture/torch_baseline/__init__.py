"""The PyTorch twin of the base model, with the names of the released weights; needs PyTorch."""
