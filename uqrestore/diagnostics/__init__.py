"""Calibration diagnostics of posterior draws against known truth: SBC, TARP, coverage, scores."""

from uqrestore.diagnostics import evaluate, statistics
from uqrestore.diagnostics.battery import Battery, Finding, default_statistics, run_battery
from uqrestore.diagnostics.bootstrap import Estimate, scene_bootstrap
from uqrestore.diagnostics.coverage import Coverage, coverage_by, measure_coverage
from uqrestore.diagnostics.heldout import held_out_battery, hold_out, residual_test
from uqrestore.diagnostics.ranks import RankTest, rank_test
from uqrestore.diagnostics.scenes import Scenes, scenes_of
from uqrestore.diagnostics.scores import fair_crps, fair_energy, patch_energy, score_table
from uqrestore.diagnostics.spread import error_uncertainty, spread_skill

__all__ = [
    "Battery",
    "Coverage",
    "Estimate",
    "Finding",
    "RankTest",
    "Scenes",
    "coverage_by",
    "default_statistics",
    "error_uncertainty",
    "evaluate",
    "fair_crps",
    "fair_energy",
    "held_out_battery",
    "hold_out",
    "measure_coverage",
    "patch_energy",
    "rank_test",
    "residual_test",
    "run_battery",
    "scene_bootstrap",
    "scenes_of",
    "score_table",
    "spread_skill",
    "statistics",
]
