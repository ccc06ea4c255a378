"""The functions of ``import uqrestore`` that work on files: paths in, results out."""

import warnings
from collections.abc import Callable, Sequence
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, overload

from uqrestore._shared.memory import read_size
from uqrestore.conformal.study import find_files, read_study
from uqrestore.explorer import OpenPosterior, open_file
from uqrestore.pipeline import RestorePipeline, TrainPipeline, change
from uqrestore.pipeline import load_pipeline as _load_pipeline
from uqrestore.pipeline.reading import Kind
from uqrestore.posterior.data_fit import WARNING
from uqrestore.scans import Input, read_input

if TYPE_CHECKING:
    from uqrestore.conformal.guarantee import Guarantee, Method
    from uqrestore.diagnostics.evaluate import Evaluation
    from uqrestore.posterior import Storage
    from uqrestore.reports.page import Written
    from uqrestore.restoration.options import Slices
    from uqrestore.restoration.restore import Progress as RestoreProgress
    from uqrestore.training.loop import Progress as TrainingProgress

AnyPath = str | PathLike[str]


def open(path: AnyPath) -> OpenPosterior:
    """Open a posterior file, lazily: xarray, small pictures, an explorer for notebooks.

    Args:
        path: A finished or partial posterior file.

    Raises:
        uqrestore.posterior.PosteriorError: If the file is missing or is no posterior file.
    """
    return open_file(Path(path))


def restore(
    scan: AnyPath | Input,
    pipeline: AnyPath | RestorePipeline = "brain-cs4-ssd",
    *,
    out: AnyPath,
    mask: AnyPath | None = None,
    volume: int | None = None,
    allow_gaps: bool = False,
    draws: int | None = None,
    seed: int | None = None,
    slices: "Slices" = None,
    resample: bool = False,
    batch_size: int | None = None,
    device: str = "cpu",
    guarantee: "Guarantee | AnyPath | None" = None,
    storage: "Storage | None" = None,
    memory: int | str | None = None,
    overwrite: bool = False,
    progress: "Callable[[RestoreProgress], None] | None" = None,
    notify: Callable[[str], None] | None = None,
) -> OpenPosterior:
    """Restore a scan and open the posterior file, as ``uqrestore reconstruct`` does.

    An interrupted call is resumed by the same call, to the same numbers; a complete file of the
    same call is opened.

    Args:
        scan: Path of a NIfTI file, a DICOM folder or raw k-space; or what ``read_scan`` returns.
        pipeline: Name of a pipeline, path of a YAML file, or what ``load_pipeline`` returns.
        out: The posterior file to write.
        mask: File of a brain mask, for a scan that still has its skull.
        volume: Volume of a 4-D file, from 0.
        allow_gaps: Take a DICOM series in spite of missing slices.
        draws: Posterior draws of a slice, instead of the pipeline's.
        seed: Seed of the draws, instead of the pipeline's.
        slices: A number of slices spread evenly through the brain, or their indices on the
            prior's grid; None for every slice with brain.
        resample: Allow a change of the scan's pixel size to the prior's.
        batch_size: Images in one call of the prior; changes no result.
        device: Device of the prior, such as ``"cuda"``.
        guarantee: What ``calibrate`` returned, or its file; sets the widths of the intervals.
        storage: Draws and precision that the file keeps; None keeps every draw in full.
        memory: Memory that the process may take, in bytes or as text such as ``"2GiB"``.
        overwrite: Replace ``out`` once the new file is complete.
        progress: Called before the first batch and after every one.
        notify: Called with lines for the user, such as changes of the grid; without it, a poor
            data fit is a Python warning.

    Raises:
        uqrestore.scans.ScanError: If the scan cannot be read or does not fit the prior.
        uqrestore.posterior.PosteriorError: If ``out`` exists and is of another call.
        ValueError: If the pipeline does not fit the prior, or an option is out of range.
    """
    from uqrestore.conformal.guarantee import Guarantee
    from uqrestore.restoration.finished import is_made
    from uqrestore.restoration.options import KEEP_ALL, RunOptions
    from uqrestore.restoration.restore import restore as restore_scan

    named = isinstance(scan, str | PathLike)
    if isinstance(scan, str | PathLike):
        inside = None if mask is None else Path(mask)
        scan = read_input(Path(scan), mask=inside, volume=volume, allow_gaps=allow_gaps)
    elif mask is not None or volume is not None or allow_gaps:
        raise ValueError("mask, volume and allow_gaps are for a scan given by its path.")
    if not isinstance(pipeline, RestorePipeline):
        pipeline = _load_pipeline(pipeline, RestorePipeline)
    if guarantee is not None and not isinstance(guarantee, Guarantee):
        guarantee = Guarantee.load(Path(guarantee))
    plan, path = change(pipeline, draws=draws, seed=seed), Path(out)
    options = RunOptions(
        overwrite=overwrite,
        resample=resample,
        slices=slices,
        batch_size=batch_size,
        device=device,
        guarantee=guarantee,
        storage=storage or KEEP_ALL,
        memory=read_size(memory) if isinstance(memory, str) else memory,
    )
    if overwrite or not named or not is_made(path, plan, scan, options):
        restore_scan(plan, scan, path, options, progress=progress, notify=notify or _warn)
    return open_file(path)


def _warn(line: str) -> None:
    """Warn of a line that nobody reads, such as of a poor data fit."""
    if line.startswith(WARNING):
        warnings.warn(line.removeprefix(f"{WARNING}: "), stacklevel=4)


def report(
    posterior: AnyPath | OpenPosterior,
    out: AnyPath | None = None,
    *,
    labels: AnyPath | None = None,
    names: str | None = None,
    threshold: float | None = None,
    guarantee: AnyPath | None = None,
    overwrite: bool = False,
) -> "Written":
    """Write the report of a posterior file: one HTML page, and the same as JSON.

    Args:
        posterior: The file, or what ``open`` or ``restore`` returned.
        out: The HTML file, or the folder it goes to; None puts it beside the posterior file.
        labels: NIfTI of numbered regions, on the grid of the scan that was restored.
        names: Names of the numbers: ``dlmuse``, ``freesurfer`` or a table; None takes a table
            beside the labels.
        threshold: Intensity; the page states how probable it is that a region exceeds it.
        guarantee: Guarantee of region means, by ``calibrate`` with ``labels``.
        overwrite: Replace what is there.

    Returns:
        The paths of both files, and what the JSON holds.

    Raises:
        uqrestore.posterior.PosteriorError: If the file is damaged, or the labels do not fit it.
        FileExistsError: If the report exists.
    """
    opened = posterior if isinstance(posterior, OpenPosterior) else open_file(Path(posterior))
    return opened.report(
        out,
        labels=labels,
        names=names,
        threshold=threshold,
        guarantee=guarantee,
        overwrite=overwrite,
    )


def evaluate(files: AnyPath | Sequence[AnyPath], *, level: float = 0.01) -> "Evaluation":
    """Test the draws of posterior files against the known truth, as ``uqrestore evaluate`` does.

    Args:
        files: A folder of posterior files, one file, or a list of files.
        level: False-alarm rate: probability of rejecting an ideal sampler.

    Raises:
        uqrestore.posterior.PosteriorError: If a file is not finished or holds no truth.
    """
    return read_study(_files(files)).evaluate(level=level)


def calibrate(
    files: AnyPath | Sequence[AnyPath],
    out: AnyPath | None = None,
    *,
    method: "Method" = "rcps",
    alpha: float = 0.1,
    delta: float = 0.1,
    share: float = 0.95,
    labels: str | None = None,
    names: str | None = None,
) -> "Guarantee":
    """Make a guarantee for intervals from posterior files whose truth is known.

    Args:
        files: A folder of posterior files, one file, or a list of files.
        out: JSON file of the guarantee, which ``restore`` takes; None writes none.
        method: How the widths are chosen; ``component_box`` is a region of whole images,
            ``region_means`` is for the means of labelled regions.
        alpha: Share of pixels, or of images, that may lie outside.
        delta: Probability of an unlucky calibration set, for ``rcps`` and ``learn_then_test``.
        share: Share of pixels that must lie inside, for ``split_conformal``.
        labels: Label volume of each file, for ``region_means``, with ``{}`` for the name of the
            file, such as ``labels/{}_roi.nii.gz``.
        names: Names of the labels, as in ``report``.

    Raises:
        uqrestore.posterior.PosteriorError: If a file is not finished or holds no truth.
        FileExistsError: If ``out`` exists.
        ValueError: If there are too few scans for a guarantee, stating how many it takes.
    """
    if out is not None and Path(out).exists():
        raise FileExistsError(f"{out}: exists already; remove it, or choose another name.")
    from uqrestore.reports.guarantees import make_guarantee

    made = make_guarantee(
        _files(files),
        method,
        alpha=alpha,
        delta=delta,
        share=share,
        labels=labels,
        names=names,
    )
    if out is not None:
        made.save(Path(out))
    return made


def train(
    pipeline: AnyPath | TrainPipeline,
    data: AnyPath,
    out: AnyPath,
    *,
    device: str = "cpu",
    tensorboard: bool = False,
    progress: "Callable[[TrainingProgress], None] | None" = None,
) -> Path:
    """Train a network, as ``uqrestore train`` does; the same call resumes a stopped training.

    Args:
        pipeline: Name of a training pipeline, path of a YAML file, or what ``load_pipeline``
            returns.
        data: Folder of the training data.
        out: Folder for weights and card.
        device: Device of the network, such as ``"cuda"``.
        tensorboard: Write the log for TensorBoard as well.
        progress: Called now and then with samples seen, loss and speed.

    Returns:
        The file of weights, which ``load_prior`` loads.
    """
    from uqrestore.training.run import run_training

    name = "pipeline" if isinstance(pipeline, TrainPipeline) else Path(pipeline).stem
    if not isinstance(pipeline, TrainPipeline):
        pipeline = _load_pipeline(pipeline, TrainPipeline)
    return run_training(
        pipeline.config,
        pipeline.title,
        name,
        Path(data),
        Path(out),
        device=device,
        report=progress,
        tensorboard=tensorboard,
    )


@overload
def load_pipeline(name: AnyPath) -> RestorePipeline: ...
@overload
def load_pipeline(name: AnyPath, kind: type[Kind]) -> Kind: ...
def load_pipeline(name: AnyPath, kind: type = RestorePipeline) -> object:
    """Read a pipeline by name or path and check its names and options.

    Args:
        name: Name of a bundled pipeline, or the path of a YAML file.
        kind: ``RestorePipeline``, ``TrainPipeline`` or ``BenchmarkPipeline`` of
            ``uqrestore.pipeline``.

    Raises:
        uqrestore.pipeline.PipelineError: With file, line, key and the nearest valid name.
    """
    return _load_pipeline(name, kind)


def _files(files: AnyPath | Sequence[AnyPath]) -> list[Path]:
    if isinstance(files, str | PathLike):
        return find_files(Path(files))
    return [Path(file) for file in files]
