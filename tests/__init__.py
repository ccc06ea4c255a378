"""Tests: identities over the registries, and exact oracles."""
