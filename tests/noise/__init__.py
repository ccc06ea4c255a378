"""Tests of noise models and random streams."""
