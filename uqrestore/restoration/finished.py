"""Outputs that are complete already: the same run, asked for once more, has nothing to do."""

import json
from pathlib import Path

from uqrestore.pipeline import RestorePipeline
from uqrestore.posterior import PosteriorError, PosteriorFile, is_complete, remove_leftovers
from uqrestore.restoration.options import RunOptions
from uqrestore.restoration.record import fingerprint
from uqrestore.scans import Input, Scan

NOTHING_TO_DO = "is complete already, made by the same settings: nothing to do"


def is_made(out: Path, pipeline: RestorePipeline, scan: Input, options: RunOptions) -> bool:
    """Return True if a file is what ``restore`` would make of a scan that was read from its file.

    Of arrays it is always False, for their key does not cover noise, mask or coil maps.

    Args:
        out: The posterior file; it need not exist.
        pipeline: As for ``restore``.
        scan: As its reader returned it.
        options: As for ``restore``.
    """
    plain = scan if isinstance(scan, Scan) else scan.scan
    if not out.exists() or not plain.source.sha256:
        return False
    name = fingerprint(pipeline, plain.identity, slices=options.slices, resample=options.resample)
    return is_finished(out, name, options, plain.source.reference_sha256)


def is_finished(path: Path, name: str, options: RunOptions, reference_sha256: str = "") -> bool:
    """Return True if a file is complete, whole, and made by the same settings of the same input.

    What a fingerprint does not cover is compared too: the draws that the file keeps, its
    guarantee and its reference. A partial file that the same run left beside it is removed.

    Args:
        path: The posterior file; it need not exist.
        name: Fingerprint of the run that is asked for.
        options: Its options.
        reference_sha256: SHA-256 of its fully sampled reference of raw k-space; empty without.
    """
    if not is_complete(path, name):
        return False
    try:
        with PosteriorFile(path) as file:
            made, guarantee = file.provenance.get("options", {}), file.guarantee
    except PosteriorError:
        return False
    wanted = None if options.guarantee is None else json.loads(options.guarantee.to_json())
    same = (
        made.get("keep", "all") == options.storage.keep
        and made.get("bits") == options.storage.keepbits
        and (made.get("reference_sha256") or "") == reference_sha256
        and guarantee == wanted
    )
    if same:
        remove_leftovers(path, name)
    return same
