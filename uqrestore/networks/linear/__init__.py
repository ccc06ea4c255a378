"""Linear MMSE estimates inside a network."""
