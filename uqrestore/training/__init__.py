"""Training: data, the loop, checkpoints."""
