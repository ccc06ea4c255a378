"""Fixtures that tests of several rooms use."""

import os
from collections.abc import Iterator

import jaxtyping
import pytest

if "PYTEST_XDIST_WORKER" in os.environ:  # one thread a process, before torch counts the cores
    os.environ.setdefault("OMP_NUM_THREADS", "1")


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Turn off the checks of annotations that only tests have, which would speak up first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
