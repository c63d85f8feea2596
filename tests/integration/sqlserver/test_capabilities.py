"""What suites ask the server under test: what it can is run, and what it lacks is named."""

import pytest
import source_capabilities
from source_capabilities import PROBES, refusal


@pytest.mark.parametrize("capability", PROBES)
def test_the_server_says_whether_it_can(sqlserver_url: str, capability: str):
    why = refusal(sqlserver_url, capability)
    if why is not None:
        pytest.skip(f"the SQL Server under test lacks {capability}: {why}")


def test_what_a_server_lacks_is_said_in_its_own_words(
    sqlserver_url: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(source_capabilities.PROBES, "time travel", "select * from sys.time_machine")
    why = refusal(sqlserver_url, "time travel")
    assert why is not None
    assert "Invalid object name 'sys.time_machine'" in why
