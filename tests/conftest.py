"""Fixtures that tests of several rooms use."""

from collections.abc import Iterator

import jaxtyping
import pytest


@pytest.fixture
def as_users_run_it() -> Iterator[None]:
    """Turn off the checks of annotations that only tests have, which would speak up first."""
    jaxtyping.config.update("jaxtyping_disable", True)
    yield
    jaxtyping.config.update("jaxtyping_disable", False)
