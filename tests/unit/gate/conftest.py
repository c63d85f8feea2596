"""A gate in front of a fake engine."""

from collections.abc import Iterator

import pytest
from gate_under_test import GateUnderTest, running_gate


@pytest.fixture
def gate() -> Iterator[GateUnderTest]:
    with running_gate() as running:
        yield running
