"""What is said when a posterior file cannot be written or read."""


class PosteriorError(ValueError):
    """The user's mistake: the output exists, belongs to another run, or is no posterior file."""


class PosteriorBusyError(PosteriorError):
    """Another process is writing the same file."""


class PosteriorDamagedError(PosteriorError):
    """A partial file cannot be gone on with."""


class PosteriorWriteError(OSError):
    """The machine's failure: a full disk, a lost mount. What was written before is kept."""
