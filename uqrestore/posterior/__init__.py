"""Posterior files: written slab by slab, summarised, validated, opened, exported."""

from uqrestore.posterior._place import remove_leftovers
from uqrestore.posterior.array import export_array
from uqrestore.posterior.components import Components, align_signs, principal_components
from uqrestore.posterior.dicom import export_dicom
from uqrestore.posterior.errors import (
    PosteriorBusyError,
    PosteriorDamagedError,
    PosteriorError,
    PosteriorWriteError,
)
from uqrestore.posterior.export import export_nifti
from uqrestore.posterior.inspect import Inspection, inspect
from uqrestore.posterior.open import is_complete, open_posterior, read_operator, read_placement
from uqrestore.posterior.plan import Named, PosteriorPlan
from uqrestore.posterior.regional_components import RegionComponents, region_components
from uqrestore.posterior.schema import SCHEMA
from uqrestore.posterior.storage import Storage
from uqrestore.posterior.stores import export_ome_zarr, export_zarr
from uqrestore.posterior.summaries import ComponentBox, Interval, Predicted, Summary
from uqrestore.posterior.validation import validate
from uqrestore.posterior.view import PosteriorFile
from uqrestore.posterior.writer import PosteriorWriter

__all__ = [
    "SCHEMA",
    "ComponentBox",
    "Components",
    "Inspection",
    "Interval",
    "Named",
    "PosteriorBusyError",
    "PosteriorDamagedError",
    "PosteriorError",
    "PosteriorFile",
    "PosteriorPlan",
    "PosteriorWriteError",
    "PosteriorWriter",
    "Predicted",
    "RegionComponents",
    "Storage",
    "Summary",
    "align_signs",
    "export_array",
    "export_dicom",
    "export_nifti",
    "export_ome_zarr",
    "export_zarr",
    "inspect",
    "is_complete",
    "open_posterior",
    "principal_components",
    "read_operator",
    "read_placement",
    "region_components",
    "remove_leftovers",
    "validate",
]
