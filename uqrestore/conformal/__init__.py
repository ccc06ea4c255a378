"""Guarantees: conformal intervals and where they hold."""
