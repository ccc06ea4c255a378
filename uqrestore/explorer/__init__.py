"""Posterior files in a notebook: plain xarray, small pictures, and a widget to explore them."""

from uqrestore.explorer.opened import OpenPosterior, open_file

__all__ = ["OpenPosterior", "open_file"]
