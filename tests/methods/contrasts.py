"""Colorization of brain slices in three contrasts: ``python -m tests.methods.contrasts LABELS``.

A grey image is the mean of three contrasts of one anatomy, which the methods are to tell apart. The
slices are drawn from label maps; their prior is a Gaussian law with the mean and the leading
components of other people's slices, so the posterior is known exactly and the truths are not of
that law, as in life.
"""
