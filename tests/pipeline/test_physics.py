"""Pipelines whose measurement is not linear, not Gaussian or not known: checked when read."""

from pathlib import Path

import pytest

from tests.front import PIPELINE, tiny_pipeline, write_pipeline
from uqrestore.pipeline import PipelineError, RestorePipeline, load_pipeline

LAPLACE = {"name": "local_laplace"}
COUNTS = {"name": "beer_lambert", "views": 8, "photons": 1000.0, "pixel_mm": 3.0}
POISSON = {"model": "poisson"}
BASE = {"baseline": None}


def fault(folder: Path, **changes: object) -> str:
    with pytest.raises(PipelineError) as error:
        load_pipeline(write_pipeline(folder, **BASE | changes), RestorePipeline)
    text = str(error.value)
    assert "\n" not in text
    assert text.startswith(str(folder))
    return text


def test_noise_operators_and_parameters_can_be_named(tmp_path: Path) -> None:
    path = write_pipeline(tmp_path, **BASE, operator=COUNTS, noise=POISSON, method=LAPLACE)
    pipeline = load_pipeline(path, RestorePipeline)
    assert pipeline.noise is not None
    assert pipeline.noise.model == "poisson"
    path = write_pipeline(
        tmp_path, **BASE, noise_std=0.1, unknown={"name": "gain", "gain": 2}, method=LAPLACE
    )
    assert load_pipeline(path, RestorePipeline).unknown is not None


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"noise": POISSON}, "method.name: ddnm is for linear measurements with Gaussian noise, "
         "but "
         "the noise is poisson; choose local_laplace, or add 'linearise: 2'."),
        ({"operator": COUNTS}, "ddnm is for linear measurements with Gaussian noise, but "
         "beer_lambert "
         "is not linear; choose"),
        ({"noise_std": 0.1, "unknown": {"name": "gain"}}, "method.name: ddnm draws images "
         "alone, but "
         "gain is unknown; choose fitted_gaussian or local_laplace."),
        ({"operator": COUNTS, "method": LAPLACE}, "noise_std: must be above 0 where "
         "beer_lambert is "
         "not linear; state it, or a noise model."),
        ({"noise": {"model": "poison"}, "method": LAPLACE}, "noise.model: there is no noise model "
         "'poison'; it can be gaussian, noncentral_chi, poisson, quantised, rician, student_t, "
         "uncertain_gaussian. Did you mean 'poisson'?"),
        ({"noise": {"model": "rician"}, "method": LAPLACE}, "noise: rician needs std; add it."),
        ({"noise": {"model": "rician", "std": -1}, "method": LAPLACE}, "noise: rician: std must be "
         "finite and above 0, got -1"),
        ({"noise": {"model": "poisson", "background": -0.5}, "method": LAPLACE}, "noise: poisson: "
         "background must be at least 0"),
        ({"noise": {"model": "poisson", "gian": 2}, "method": LAPLACE}, "noise.gian: poisson "
         "has no "
         "'gian'; it can be background, gain. Did you mean 'gain'?"),
        ({"noise": POISSON, "noise_std": 0.1, "method": LAPLACE}, "noise: is given beside "
         "noise_std"),
        ({"noise": POISSON, "method": LAPLACE, "baseline": "tiny"}, "baseline: is for linear "
         "measurements with Gaussian noise, but the noise is poisson; remove it."),
        ({"linearise": 2}, "linearise: the measurement is linear with Gaussian noise; remove it."),
        ({"noise_std": 0.1, "linearise": 2, "unknown": {"name": "gain"}, "method": LAPLACE},
         "linearise: takes parameters as known, but gain is unknown; remove it."),
        ({"noise_std": 0.1, "unknown": {"name": "gain"}, "refine_maps": 2, "method": LAPLACE},
         "refine_maps: is for linear measurements with Gaussian noise, but gain is unknown"),
        ({"noise_std": 0.1, "unknown": {"name": "gian"}, "method": LAPLACE}, "unknown.name: "
         "there is "
         "no unknown parameter 'gian'"),
        ({"noise_std": 0.1, "unknown": {"name": "gain", "relative_std": 0}, "method": LAPLACE},
         "unknown.relative_std: "),
        ({"operator": COUNTS | {"photons": "many"}, "noise": POISSON, "method": LAPLACE},
         "operator.photons: should be a valid number"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_said_in_one_line_before_the_work(
    tmp_path: Path, changes: dict[str, object], text: str
) -> None:
    assert text in fault(tmp_path, **changes)


def test_pipelines_without_the_new_keys_keep_their_hash(tmp_path: Path) -> None:
    plain = tiny_pipeline(tmp_path)
    assert plain.noise is None
    stated = plain.model_dump() | {"noise": None, "unknown": None, "linearise": 0}
    assert RestorePipeline.model_validate(stated).sha256 == plain.sha256
    other = tiny_pipeline(tmp_path, **BASE, noise=POISSON, method=LAPLACE)
    more = tiny_pipeline(tmp_path, **BASE, noise={"model": "poisson", "gain": 2.0}, method=LAPLACE)
    assert len({plain.sha256, other.sha256, more.sha256}) == 3
    assert set(PIPELINE) & {"noise", "unknown", "linearise"} == set()
