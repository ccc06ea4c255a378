"""Run the cells of a benchmark: one method, operator and noise level each, slice by slice."""
