"""Version of the package, apart from ``__init__`` so that any module can import it."""

__version__ = "0.2.0"
