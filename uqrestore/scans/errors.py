"""What is said when a scan cannot be used."""


class ScanError(ValueError):
    """A scan that cannot be read or does not suit the model: one line, file and cure."""
