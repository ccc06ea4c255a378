"""Distributions over operators, for training."""
