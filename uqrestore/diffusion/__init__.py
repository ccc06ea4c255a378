"""Diffusion: noise levels, preconditioned denoisers, samplers, losses."""
