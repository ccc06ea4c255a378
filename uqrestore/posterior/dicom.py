"""Maps of a posterior file as DICOM: parametric maps, and plain series for simpler viewers.

Both lie on the model's grid, first row anterior and first column to the patient's right, as
radiologists look at axial slices. Only restored slices are written: none is padded.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from uqrestore._shared.files import atomic
from uqrestore.posterior._header import file_stem
from uqrestore.posterior.dicom_maps import header_of, read_maps, study_of
from uqrestore.posterior.dicom_objects import parametric_map, series_images
from uqrestore.posterior.errors import PosteriorError

KINDS = ("pmap", "series", "both")


def export_dicom(
    path: Path | str,
    folder: Path | str,
    *,
    kind: str = "pmap",
    maps: Sequence[str] = ("mmse", "std"),
    source: Path | str | None = None,
    overwrite: bool = False,
) -> list[Path]:
    """Write maps of a finished posterior file as DICOM.

    Args:
        path: The posterior file.
        folder: Where the files go; made if missing.
        kind: ``pmap`` writes one parametric map object a map, floating point with units;
            ``series`` one 16-bit derived image a slice, with rescale slope, for viewers that
            show no parametric maps; ``both`` both.
        maps: Images of ``/estimate`` or ``/reference``.
        source: Folder of the scan's own series, whose patient and study the maps then join.
            Without it they are anonymous, in a study of their own.
        overwrite: Replace files that exist.

    Returns:
        Files of parametric maps and folders of series.

    Raises:
        PosteriorError: If a map does not exist, the file is not finished, its slices are no
            right-angled grid, an output exists, or the packages of the extra ``dicom`` are
            missing.
    """
    path, folder = Path(path), Path(folder)
    if kind not in KINDS:
        raise PosteriorError(f"--dicom {kind}: it can be {', '.join(KINDS)}.")
    _need_highdicom()
    study = study_of(source)
    stem = file_stem(path)
    written: list[Path] = []
    folder.mkdir(parents=True, exist_ok=True)
    for number, item in enumerate(read_maps(path, maps)):
        headers = [header_of(item, study, k) for k in range(len(item.values))]
        if kind in {"pmap", "both"}:
            target = folder / f"{stem}_{item.name}.dcm"
            with _new(target, overwrite) as temporary:
                parametric_map(item, headers, 9000 + number).save_as(temporary)
            written.append(target)
        if kind in {"series", "both"}:
            target = folder / f"{stem}_{item.name}_series"
            target.mkdir(exist_ok=True)
            for k, image in enumerate(series_images(item, headers, 9100 + number)):
                with _new(target / f"{k + 1:04d}.dcm", overwrite) as temporary:
                    image.save_as(temporary, enforce_file_format=True)
            written.append(target)
    return written


@contextmanager
def _new(target: Path, overwrite: bool) -> Iterator[Path]:
    """Give a temporary path; the file gets its name once it is whole."""
    if target.exists() and not overwrite:
        raise PosteriorError(f"{target}: exists already; pass --overwrite.")
    with atomic(target) as temporary:
        yield temporary


def _need_highdicom() -> None:
    try:
        import highdicom  # noqa: F401 - only whether it is there
    except ModuleNotFoundError:
        raise PosteriorError(
            "DICOM needs the packages pydicom and highdicom: pip install 'uqrestore[dicom]'."
        ) from None
