"""Configuration of the training data: which files, how they are cut and changed at random."""

from collections.abc import Callable
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    model_serializer,
    model_validator,
)

Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(ge=0, le=1)]


class Part(BaseModel):
    """A frozen part of a configuration that refuses unknown names."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    newer: ClassVar[frozenset[str]] = frozenset()
    """Fields left out of the dump where they hold their default, so that older hashes stay."""

    @model_serializer(mode="wrap")
    def _without_newer(self, serialise: Callable[[Any], dict[str, Any]]) -> dict[str, Any]:
        fields = type(self).model_fields
        unset = {name for name in self.newer if getattr(self, name) == fields[name].default}
        return {key: value for key, value in serialise(self).items() if key not in unset}


class RangeConfig(Part):
    """Calibrated range of training slices, where a number means the same in every patient.

    Args:
        low: Value that becomes 0, such as -1000 (HU).
        high: Value that becomes 1.
        unit: Unit of ``low`` and ``high``.
    """

    low: float
    high: float
    unit: str

    @model_validator(mode="after")
    def _rises(self) -> "RangeConfig":
        if not self.low < self.high:
            raise ValueError(f"low {self.low:g} must be below high {self.high:g}")
        return self


class SliceSet(Part):
    """Slices of one HDF5 file in a mixture of complex windows.

    Args:
        file: Name of the file.
        variables: Slices in its groups ``train`` and ``val``, bytes or numbers from 0 to 1.
        volumes: Instead of slices, names of people whose volumes ``train/NAME/t1`` are cut in
            three planes.
        weight: Weight in the mixture, relative to that of the other sets.
        validated: Whether the group ``val`` is validated on.
    """

    file: str
    variables: Annotated[tuple[str, ...], Field(min_length=1)] = ("head",)
    volumes: tuple[str, ...] = ()
    weight: Positive = 1.0
    validated: bool = True


class DataConfig(Part):
    """Training images, by files of the folder that ``--data`` names.

    Args:
        files: HDF5 files of slices in [0, 1], read from their groups ``train`` and ``val``. A
            data set ``subject`` beside the slices names the person of each.
        variable: Name of the slices in those groups, or one name a file.
        from_anterior: Files whose row 0 is anterior, as in DICOM; they are turned over, since row
            0 of a slice is posterior here.
        labels: HDF5 file of label maps (groups ``train/PERSON/label``) to draw fresh slices from.
        labels_share: Share of training slices drawn fresh from the label maps.
        shape: ``(channel, row, column)`` of one training image.
        windows_of: ``(row, column)`` of the slices, if training images are windows cut from them
            at random places; None trains on whole slices.
        scans: Patterns of scans below the folder, such as ``train/*.nii.gz``: volumes in any format
            that ``uqrestore`` reads, cut into axial slices of ``voxel_mm``. The person of a scan
            is the part ``sub-NAME`` of its path, as in BIDS.
        val_scans: Patterns of the scans to validate on, of other people.
        mask: Name of the mask of each scan, with ``{stem}`` for the name of the scan without its
            extension, such as ``{stem}_mask.nii.gz``, relative to the folder of the scan. Masks
            that match a pattern of scans are not read as scans.
        val_share: Share of the people of ``files`` and ``scans`` that are held out for validation,
            in place of a group ``val`` and of ``val_scans``.
        people: Table of people (CSV, or TSV such as ``participants.tsv``) with a column
            ``subject`` or ``participant_id`` and a column ``age``, whose range the card states.
        voxel_mm: Pixel size of the slices, in mm.
        range: For calibrated units, such as HU: scans are put on this scale in training and in
            use, and cut to it. None scales every scan by its own brightest tissue.
        augment: ``brain`` (left-right flips, small affine and intensity changes, of stored slices),
            ``edm`` (:func:`uqrestore.training.augmentation.augment_conditioned`, with the
            parameters as conditioning where the network has ``augment_labels``) or ``none``.
        augment_share: Share of images that each change of ``edm`` is applied to.
        heights: Number of class labels, bins of the height of a slice between the bottom (0) and
            the top of its brain; 0 for no labels. The network wants as many ``labels``.
        label_dropout: Share of training images whose label is hidden, without which there is no
            guidance.
        complex_windows: Instead of all other sources, windows cut from magnitude slices of any
            size, with random contrast and phase
            (:func:`uqrestore.training.complex_windows.complex_source`). ``shape`` then has two
            channels, real and imaginary.
    """

    newer = frozenset({"mask", "val_share", "people", "complex_windows", "from_anterior"})

    files: tuple[str, ...] = ()
    variable: str | tuple[str, ...] = "brain"
    from_anterior: tuple[str, ...] = ()
    labels: str | None = None
    labels_share: Share = 0.0
    shape: tuple[Count, Count, Count] = (1, 64, 64)
    windows_of: tuple[Count, Count] | None = None
    scans: tuple[str, ...] = ()
    val_scans: tuple[str, ...] = ()
    mask: str | None = None
    val_share: Share = 0.0
    people: str | None = None
    voxel_mm: Positive = 3.0
    range: RangeConfig | None = None
    augment: Literal["brain", "edm", "none"] = "brain"
    augment_share: Share = 0.12
    heights: Annotated[int, Field(ge=0)] = 0
    label_dropout: Share = 0.1
    complex_windows: tuple[SliceSet, ...] = ()

    @property
    def slice_shape(self) -> tuple[int, int, int]:
        """``(channel, row, column)`` of one whole slice."""
        return self.shape if self.windows_of is None else (self.shape[0], *self.windows_of)

    @model_validator(mode="after")
    def _complex_windows_alone(self) -> "DataConfig":
        if not self.complex_windows:
            return self
        others = ("files", "labels", "scans", "val_scans", "range", "heights")
        given = [name for name in others if getattr(self, name)]
        if given or self.shape[0] != 2 or self.shape[1] != self.shape[2] or self.augment != "none":
            raise ValueError(
                "complex_windows wants a square shape of two channels, such as [2, 64, 64], and "
                f"augment: none, got shape {list(self.shape)}, augment {self.augment!r}"
                + (f", and no {', '.join(given)} beside it" if given else "")
            )
        return self

    @property
    def variables(self) -> dict[str, str]:
        """Name of the slices of each file."""
        if isinstance(self.variable, str):
            return dict.fromkeys(self.files, self.variable)
        names = self.variable
        return dict(zip(self.files, names, strict=True))

    @model_validator(mode="after")
    def _files_are_described(self) -> "DataConfig":
        if not isinstance(self.variable, str) and len(self.variable) != len(self.files):
            raise ValueError(
                f"variable names {len(self.variable)} data sets for {len(self.files)} files; give "
                "one name, or one a file"
            )
        if unknown := set(self.from_anterior) - set(self.files):
            raise ValueError(f"from_anterior names {sorted(unknown)[0]!r}, which is not in files")
        return self

    @model_validator(mode="after")
    def _masks_are_named(self) -> "DataConfig":
        if self.mask is not None and "{stem}" not in self.mask:
            raise ValueError(
                f"mask {self.mask!r} is the same for every scan; write {{stem}} where the name of "
                "the scan belongs, such as {stem}_mask.nii.gz"
            )
        return self
