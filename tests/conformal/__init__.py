"""Tests of conformal."""
