"""Programs that own an embedded system, to be killed by the tests."""

import subprocess
import sys
from collections.abc import Callable, Iterator

import pytest

StartOwner = Callable[..., tuple[subprocess.Popen[str], list[int]]]


@pytest.fixture
def start_owner() -> Iterator[StartOwner]:
    """Start a Python program that prints process numbers in its first line; returns both."""
    owners: list[subprocess.Popen[str]] = []

    def start(program: str, *arguments: str) -> tuple[subprocess.Popen[str], list[int]]:
        command = [sys.executable, "-c", program, *arguments]
        owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        owners.append(owner)
        assert owner.stdout is not None
        return owner, [int(number) for number in owner.stdout.readline().split()]

    yield start
    for owner in owners:
        owner.kill()
        owner.communicate()
