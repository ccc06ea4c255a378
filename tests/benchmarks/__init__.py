"""Benchmarks: ratios to a reference in the same process; see docs/benchmarks-operators.md."""
