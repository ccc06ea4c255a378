"""Errors of writing and reading posterior files."""


class PosteriorError(ValueError):
    """The output exists or belongs to another run, or the input is no sound posterior file."""


class PosteriorBusyError(PosteriorError):
    """Another process is writing the same file."""


class PosteriorDamagedError(PosteriorError):
    """A partial file cannot be resumed."""


class PosteriorWriteError(OSError):
    """The disk is full or lost; everything written before is kept."""
