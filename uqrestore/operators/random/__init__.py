"""Random operators for training."""
