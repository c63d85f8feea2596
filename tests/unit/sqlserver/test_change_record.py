"""What a server says of a table's record of changes."""

import pytest

from tranship.sqlserver.change_record import known_fault


@pytest.mark.parametrize(
    ("version", "is_faulty"),
    [
        ("11.0.7001.0", False),  # 2012: nobody says
        ("12.0.5588.0", True),
        ("12.0.5589.7", False),
        ("13.0.4474.0", True),
        ("13.0.4502.0", False),
        ("13.0.5026.0", False),
        ("14.0.3026.27", True),
        ("14.0.3029.16", False),
        ("16.0.1000.6", False),
        ("", False),
        ("unknown", False),
    ],
)
def test_builds_that_record_unique_updates_wrong_are_known(version: str, is_faulty: bool) -> None:
    fault = known_fault(version)
    assert (fault is not None) is is_faulty
    assert fault is None or version in fault
