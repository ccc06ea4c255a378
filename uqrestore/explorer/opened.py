"""Lazily opened posterior file with pictures, statistics and a notebook explorer."""
