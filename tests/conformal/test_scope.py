"""A scope covers its calibration scans and names whatever lies outside."""

import dataclasses
import json

import pytest

from uqrestore.conformal.scope import Scope, Setting

KNEE = Setting(
    operator="masked_fourier",
    model="brain64-prior 1a2b",
    sampler={"name": "ssd", "steps": 100, "draws": 16},
    noise_std=0.02,
    parameters={"acceleration": 4.0, "kind": "cartesian"},
    voxel_size=(3.0, 3.0, 5.0),
    unit="network",
)


def scope() -> Scope:
    other = dataclasses.replace(
        KNEE, noise_std=0.05, parameters={"acceleration": 6.0, "kind": "cartesian"}
    )
    return Scope.covering([KNEE, other])


def test_what_was_calibrated_is_inside_and_so_is_what_lies_between() -> None:
    between = dataclasses.replace(
        KNEE, noise_std=0.03, parameters={"acceleration": 5.2, "kind": "cartesian"}
    )
    assert scope().faults(KNEE) == []
    assert scope().faults(between) == []
    assert scope().faults(dataclasses.replace(KNEE, voxel_size=(3.01, 3.0, 5.0))) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"operator": "inpainting"}, "operator inpainting is not masked_fourier"),
        ({"model": "other"}, "model other is not brain64-prior 1a2b"),
        (
            {"sampler": {"name": "ssd", "steps": 20, "draws": 16}},
            "sampler steps is 20, calibrated with 100",
        ),
        (
            {"sampler": {"name": "ssd", "steps": 100, "draws": 64}},
            "sampler draws is 64, calibrated with 16",
        ),
        ({"noise_std": 0.1}, "noise_std 0.1 is not in 0.02 to 0.05"),
        (
            {"parameters": {"acceleration": 8.0, "kind": "cartesian"}},
            "acceleration 8 is not in 4 to 6",
        ),
        ({"parameters": {"acceleration": 4.0, "kind": "radial"}}, "kind radial is not cartesian"),
        ({"parameters": {"kind": "cartesian"}}, "parameters ['kind'] are not"),
        ({"voxel_size": (1.0, 1.0, 5.0)}, "voxels of 1 x 1 x 5 mm are not 3 x 3 x 5 mm"),
        ({"voxel_size": (3.0, 3.0)}, "voxels of 3 x 3 mm are not 3 x 3 x 5 mm"),
        ({"unit": "HU"}, "unit 'HU' is not 'network'"),
    ],
)
def test_what_is_outside_is_named(change: dict, fault: str) -> None:
    faults = scope().faults(dataclasses.replace(KNEE, **change))
    assert len(faults) == 1
    assert fault in faults[0]


def test_a_scope_survives_json() -> None:
    before = scope()
    after = Scope.from_data(json.loads(json.dumps(before.to_data())))
    assert after == before


def test_scans_that_state_different_things_make_no_scope() -> None:
    with pytest.raises(ValueError, match="at least one calibration scan"):
        Scope.covering([])
    with pytest.raises(ValueError, match="must share unit"):
        Scope.covering([KNEE, dataclasses.replace(KNEE, unit="HU")])
    with pytest.raises(ValueError, match="must share unit"):
        Scope.covering([KNEE, dataclasses.replace(KNEE, parameters={})])
