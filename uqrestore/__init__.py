"""Restore medical and scientific images, and say rightly how uncertain the result is."""

__version__ = "0.1.0"
