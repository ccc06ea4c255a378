"""Guarantees: conformal intervals and regions, and the scope in which they hold."""

from uqrestore.conformal.bounds import (
    betting_bound,
    hoeffding_bentkus_bound,
    hoeffding_bentkus_p_value,
)
from uqrestore.conformal.calibrate import calibrate
from uqrestore.conformal.component_box import ComponentPredictions, calibrate_box
from uqrestore.conformal.component_scores import ComponentScores, score_components
from uqrestore.conformal.guarantee import Guarantee, OutOfScopeError
from uqrestore.conformal.predictions import Predictions
from uqrestore.conformal.scope import Scope, Setting
from uqrestore.conformal.widths import conformal_risk_control, learn_then_test, split_conformal

__all__ = [
    "ComponentPredictions",
    "ComponentScores",
    "Guarantee",
    "OutOfScopeError",
    "Predictions",
    "Scope",
    "Setting",
    "betting_bound",
    "calibrate",
    "calibrate_box",
    "conformal_risk_control",
    "hoeffding_bentkus_bound",
    "hoeffding_bentkus_p_value",
    "learn_then_test",
    "score_components",
    "split_conformal",
]
