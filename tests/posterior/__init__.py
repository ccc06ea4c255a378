"""Tests of the posterior room."""
