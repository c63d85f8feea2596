"""One gate in front of the real engine for the session."""

from collections.abc import Iterator

import pytest
from real_engine import RealEngine, real_engine


@pytest.fixture(scope="session")
def engine() -> Iterator[RealEngine]:
    with real_engine() as running:
        yield running
