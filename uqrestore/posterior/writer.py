"""Writer of posterior files: slab by slab, so that nothing once computed is lost."""

import errno
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import NoReturn

import numpy as np
from jaxtyping import Float, Shaped

from uqrestore.posterior import _finish as seal
from uqrestore.posterior import _partial as part
from uqrestore.posterior._place import check_memory, check_place, part_of
from uqrestore.posterior._scratch import beside
from uqrestore.posterior.errors import PosteriorBusyError, PosteriorError, PosteriorWriteError
from uqrestore.posterior.plan import PosteriorPlan
from uqrestore.posterior.storage import Storage
from uqrestore.posterior.summaries import Predicted, Summary, summarise

FULL_DISK = {errno.ENOSPC, errno.EFBIG, getattr(errno, "EDQUOT", errno.ENOSPC)}


class PosteriorWriter:
    """Collect the draws of a scan in ``NAME.part`` and turn it into ``NAME`` when all are there.

    A slab is one slice of one draw. It is written, then marked; a process that dies in between
    has lost that slab alone, and the next run with the same plan resumes from the rest. Under its
    final name the file exists only once it is whole, checked and on disk.

    Args:
        path: The finished file.
        plan: Content of the file.
        overwrite: Replace a finished file (it stays until the new one is whole) and throw
            away a partial one of another run.

    Raises:
        PosteriorError: If ``path`` exists, or its partial file belongs to another run or is in
            use.
        PosteriorWriteError: If the disk has no room for the draws.

    Example:
        >>> import tempfile
        >>> from uqrestore.posterior.example import example_plan
        >>> plan = example_plan(draws=5, slices=(1, 3))
        >>> images = np.ones((5, 2, 1, plan.rows, plan.columns), np.float32)
        >>> with tempfile.TemporaryDirectory() as folder:
        ...     with PosteriorWriter(Path(folder) / "scan.h5", plan) as writer:
        ...         writer.write(range(3), (1, 3), images[:3])
        ...     with PosteriorWriter(Path(folder) / "scan.h5", plan) as writer:
        ...         left = writer.missing((1, 3))
        ...         writer.write(left, (1, 3), images[3:])
        ...         path = writer.finish(writer.summarise(components=1))
        ...     (writer.resumed, left, path.name)
        (6, [3, 4], 'scan.h5')
    """

    def __init__(self, path: Path | str, plan: PosteriorPlan, *, overwrite: bool = False) -> None:
        self.path = Path(path)
        self.plan = plan
        self._part = part_of(self.path)
        check_place(self.path, plan, overwrite)
        check_memory(self.path, plan)
        try:
            self._slabs = self._open(overwrite)
        except OSError as error:
            self._fail(error)
        self.resumed = int(self._slabs.valid.sum())
        self._order = {index: position for position, index in enumerate(plan.slices)}

    @property
    def valid(self) -> Shaped[np.ndarray, "draw slice"]:
        """Slabs that are written; slices in the order of the plan."""
        return self._slabs.valid.copy()

    def missing(self, slices: Sequence[int]) -> list[int]:
        """Return the draws not yet written for every one of ``slices`` (indices on the grid)."""
        written = self._slabs.valid[:, self._positions(slices)].all(axis=1)
        return [int(draw) for draw in np.flatnonzero(~written)]

    def read(
        self, draw: int, slices: Sequence[int]
    ) -> Float[np.ndarray, "slice channel row column"]:
        """Return slices of a draw that are written, in the file's units."""
        return np.stack([self._slabs.read(draw, at) for at in self._positions(slices)])

    def write(
        self,
        draws: Sequence[int],
        slices: Sequence[int],
        images: Float[np.ndarray, "draw slice channel row column"],
        *,
        nfe: int = 0,
        wall_s: float = 0.0,
        stats: Mapping[str, Float[np.ndarray, "draw slice"]] | None = None,
        parameters: Mapping[str, Float[np.ndarray, "draw slice ..."]] | None = None,
    ) -> None:
        """Write a block of slabs; those written before are left as they are.

        Args:
            draws: Index of each draw, the sample of its random stream.
            slices: Index of each slice on the model's grid.
            images: In the file's units.
            nfe: Denoiser calls for each image.
            wall_s: Seconds the block took.
            stats: The numbers named in the plan, for each slab.
            parameters: Draws of the unknown parameters of the plan.

        Raises:
            PosteriorError: If an index or shape does not fit the plan, or an image holds NaN.
            PosteriorWriteError: If the disk is full or fails; what was written before is safe.
        """
        stats, parameters = stats or {}, parameters or {}
        positions = self._positions(slices)
        self._check(draws, positions, images, stats)
        self._check_parameters(len(draws), len(positions), parameters)
        share = wall_s / max(1, len(draws) * len(positions))
        try:
            for i, draw in enumerate(draws):
                for j, position in enumerate(positions):
                    if self._slabs.valid[draw, position]:
                        continue
                    numbers = {"/writing/nfe": nfe, "/writing/wall_s": share}
                    numbers |= {f"/sample_stats/{name}": stats[name][i, j] for name in stats}
                    for name, values in parameters.items():
                        numbers[f"/parameters/{name}"] = values[i, j]
                    self._slabs.write(draw, position, images[i, j], numbers)
        except OSError as error:
            self._fail(error)

    def summarise(
        self,
        *,
        components: int = 3,
        quantiles: Sequence[float] = (0.05, 0.5, 0.95),
        predicted: Predicted | None = None,
        scope: str = "slice",
    ) -> Summary:
        """Summarise the draws, a slice at a time, from the partial file.

        Args:
            components: Principal components wanted; at most the number of draws less two come.
            quantiles: Levels wanted, between 0 and 1; the nearest order statistics come.
            predicted: Posterior mean and components where a network predicts them.
            scope: ``"slice"`` or ``"volume"``: whether the slices of a component are directions
                of their own or parts of one.

        Raises:
            PosteriorError: If slabs are missing.
            PosteriorWriteError: If the disk has no room for the maps on their way to the file.
        """
        self._check_whole()
        plan = self.plan

        def read(position: int, rows: slice) -> np.ndarray:
            return np.stack([self._slabs.read(d, position, rows) for d in range(plan.draws)])

        shape = (plan.draws, len(plan.slices), plan.channels, plan.rows, plan.columns)
        try:
            return summarise(
                read,
                shape,
                components=components,
                levels=tuple(quantiles),
                predicted=predicted,
                scope=scope,
                new=beside(self.path.parent),
            )
        except OSError as error:
            self._fail(error)

    def finish(
        self,
        summary: Summary,
        *,
        figures: Mapping[str, float] | None = None,
        storage: Storage | None = None,
    ) -> Path:
        """Write the finished file: compressed, hashed, synced, renamed; remove the partial one.

        Args:
            summary: From :meth:`summarise`.
            figures: Summary figures of the scan, such as a PSNR, for catalogues.
            storage: Choice of the draws that are kept; None keeps all of them in full.

        Returns:
            The finished file.

        Raises:
            PosteriorError: If slabs are missing.
            PosteriorWriteError: If the disk is full or fails; the partial file is kept.
        """
        self._check_whole()
        try:
            seal.write_finished(
                self.path, self._slabs, self.plan, summary, figures or {}, storage or Storage()
            )
        except OSError as error:
            self._fail(error)
        self._part.unlink(missing_ok=True)
        self.close()
        return self.path

    def close(self) -> None:
        """Let go of the partial file; it stays, unless it holds no slab at all."""
        if not self._slabs.file.closed:
            empty = not self._slabs.valid.any()
            if empty:
                self._part.unlink(missing_ok=True)
            self._slabs.file.close()

    def __enter__(self) -> "PosteriorWriter":
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open(self, overwrite: bool) -> part.Slabs:
        begun = os.path.lexists(self._part)
        if begun:
            try:
                slabs = part.resume(self._part, self.plan)
            except PosteriorError as error:
                if not overwrite or isinstance(error, PosteriorBusyError):
                    raise
                slabs = None
            if slabs is not None:
                return slabs
        return part.create(self._part, self.plan, replace=begun)

    def _positions(self, slices: Sequence[int]) -> list[int]:
        unknown = [index for index in slices if index not in self._order]
        if unknown:
            raise PosteriorError(
                f"slices {unknown} are not in the plan, which has {self.plan.slices}."
            )
        return [self._order[index] for index in slices]

    def _check(
        self,
        draws: Sequence[int],
        positions: list[int],
        images: np.ndarray,
        stats: Mapping[str, np.ndarray],
    ) -> None:
        plan = self.plan
        wanted = (len(draws), len(positions), plan.channels, plan.rows, plan.columns)
        if images.shape != wanted:
            raise PosteriorError(
                f"write wants images (draw, slice, channel, row, column) of shape {wanted} but got "
                f"{images.shape}."
            )
        wrong = [draw for draw in draws if not 0 <= draw < plan.draws]
        if wrong:
            raise PosteriorError(f"draws {wrong} are not among the plan's 0 ... {plan.draws - 1}.")
        if set(stats) != set(plan.stats):
            raise PosteriorError(f"the plan's statistics are {plan.stats} but got {tuple(stats)}.")
        finite = np.isfinite(images).all(axis=(2, 3, 4))
        if not finite.all():
            i, j = (int(n) for n in np.argwhere(~finite)[0])
            raise PosteriorError(
                f"draw {draws[i]} of slice {plan.slices[positions[j]]} holds NaN or infinite "
                "values; the method diverged."
            )

    def _check_parameters(
        self, draws: int, slices: int, parameters: Mapping[str, np.ndarray]
    ) -> None:
        wanted = {p.name: (draws, slices, *p.shape) for p in self.plan.parameters}
        found = {name: values.shape for name, values in parameters.items()}
        if found != wanted or not all(np.isfinite(v).all() for v in parameters.values()):
            raise PosteriorError(f"the plan wants finite parameters {wanted} but got {found}.")

    def _check_whole(self) -> None:
        missing = int((~self._slabs.valid).sum())
        if missing:
            raise PosteriorError(
                f"{self._part}: {missing} of {self._slabs.valid.size} slabs are still missing; "
                "write them before finishing."
            )

    def _fail(self, error: OSError) -> NoReturn:
        if isinstance(error, PosteriorWriteError):
            raise error
        reason = "the disk is full" if error.errno in FULL_DISK else (error.strerror or str(error))
        kept = int(self._slabs.valid.sum()) if hasattr(self, "_slabs") else 0
        cure = "free some space" if error.errno in FULL_DISK else "check the disk"
        if kept and not self._part.exists():
            kept, reason, cure = 0, "was removed while it was written", "leave it in its place"
        message = (
            f"{self._part}: {reason}; {cure} and run the same command again ({kept} slabs are "
            "kept)."
        )
        raise PosteriorWriteError(error.errno or errno.EIO, message) from error
