"""Calibration diagnostics of posterior draws against known truth: SBC, TARP, coverage, scores."""
