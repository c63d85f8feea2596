"""A login service with an operator and a viewer."""

from pathlib import Path

import pytest
from argon2 import PasswordHasher
from login_under_test import LoginUnderTest

from login import passwords


@pytest.fixture(autouse=True)
def _cheap_hashes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Hashes that cost nothing; what real ones cost is held by a test."""
    cheap = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)
    monkeypatch.setattr(passwords, "_HASHER", cheap)


@pytest.fixture
def login(tmp_path: Path) -> LoginUnderTest:
    service = LoginUnderTest(tmp_path)
    service.add_user("olga", "operator")
    service.add_user("vera", "viewer")
    return service
