"""Tests of the BIDS App."""
