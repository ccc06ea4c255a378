"""Source of a scan: name, hashes and options of reading."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Source:
    """Origin of a scan; its name is without folder, since folders name people and machines.

    Attributes:
        name: File name.
        format: ``"NIfTI"``, ``"DICOM"`` or ``"none"``.
        sha256: Of the file's bytes; empty for an array.
        space_code: NIfTI code of the space the affine leads to: 0 unknown, 1 scanner, 2 aligned
            to another scan, 3 Talairach, 4 MNI.
        given_mask: Whether the mask came from a file of its own.
        mask_sha256: Of the mask's file.
        volume: The volume asked for of a 4-D file.
        noise_std: Noise of raw k-space, where it was given.
        coils: Number of coils that raw k-space was compressed to.
        kept_sha256: Of the mask of the samples that were kept of fully sampled k-space.
        reference_sha256: Of the file of the fully sampled reference of raw k-space.
        tags: The few header values that are kept of a DICOM series.
        note: Choices and changes of the reader, such as the volume taken from a 4-D file.
    """

    name: str
    format: str = "none"
    sha256: str = ""
    space_code: int = 1
    given_mask: bool = False
    mask_sha256: str = ""
    volume: int | None = None
    noise_std: float | None = None
    coils: int | None = None
    kept_sha256: str = ""
    reference_sha256: str = ""
    note: str = ""
    tags: tuple[tuple[str, str], ...] = ()


def identify(
    sha256: str,
    mask_sha256: str,
    volume: int | None,
    noise_std: float | None = None,
    coils: int | None = None,
    kept_sha256: str = "",
) -> str:
    """Return the identifier of an input: hashes of its files and options of reading."""
    options = {"noise": noise_std, "coils": coils, "kept": kept_sha256 or None}
    given = "".join(f" {key} {value!r}" for key, value in options.items() if value is not None)
    return f"sha256 {sha256} mask {mask_sha256 or None} volume {volume}{given}"
