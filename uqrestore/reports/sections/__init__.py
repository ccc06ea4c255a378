"""Sections of the page, in order; a new one is a file here, a line below and a line of its test."""

from uqrestore.reports.sections import (
    calibration,
    fit,
    how,
    images,
    limits,
    methods,
    numbers,
    parameters,
    provenance,
    varying,
    verdict,
    where,
)
from uqrestore.reports.sections.section import Section

SECTIONS: tuple[Section, ...] = (
    verdict.SECTION,
    images.SECTION,
    where.SECTION,
    how.SECTION,
    numbers.SECTION,
    varying.SECTION,
    parameters.SECTION,
    fit.SECTION,
    calibration.SECTION,
    limits.SECTION,
    methods.SECTION,
    provenance.SECTION,
)
