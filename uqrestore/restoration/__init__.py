"""Restoration of a scan: read, prepare, draw, write."""
