"""Tests of inverse problems."""
