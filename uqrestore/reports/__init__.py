"""Figures and reports, drawn from a posterior file alone."""
