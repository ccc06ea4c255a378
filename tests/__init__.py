"""Tests: laws over the registries, and exact oracles."""
