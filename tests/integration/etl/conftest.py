"""The code location, pointed at the tests' servers, with a Dagster instance of its own."""

from collections.abc import Callable, Iterator

import dagster as dg
import pytest
import sqlalchemy as sa
from statements import asking


@pytest.fixture(scope="session")
def warehouse_url(embedded_postgres) -> str:
    """A database of these tests' own: the code location writes to `public` and `staging`."""
    return embedded_postgres.create_database("etl")


@pytest.fixture
def environment(
    monkeypatch: pytest.MonkeyPatch, sqlserver_url: str, warehouse_url: str
) -> pytest.MonkeyPatch:
    """The environment that tells the code location where its systems are."""
    for system, url in (("SQLSERVER", sqlserver_url), ("POSTGRES", warehouse_url)):
        parts = sa.make_url(url)
        monkeypatch.setenv(f"TRANSHIP_{system}_HOST", parts.host or "")
        monkeypatch.setenv(f"TRANSHIP_{system}_PORT", str(parts.port))
        monkeypatch.setenv(f"TRANSHIP_{system}_DATABASE", parts.database or "")
        monkeypatch.setenv(f"TRANSHIP_{system}_USER", parts.username or "")
        monkeypatch.setenv(f"TRANSHIP_{system}_PASSWORD", parts.password or "")
    return monkeypatch


@pytest.fixture(scope="session")
def code_location(tmp_path_factory: pytest.TempPathFactory) -> dg.RepositoryDefinition:
    """All that the code location defines, loaded once as a code server would."""
    with pytest.MonkeyPatch.context() as patch:
        # These two are read when the code is loaded; all others when a run starts.
        patch.setenv("TRANSHIP_SPOOL_URI", str(tmp_path_factory.mktemp("spool")))
        patch.setenv("TRANSHIP_SQLSERVER_TRUST_CERTIFICATE", "yes")
        from etl.definitions import defs

        return defs().get_repository_def()


@pytest.fixture
def repository(
    environment: pytest.MonkeyPatch, code_location: dg.RepositoryDefinition
) -> dg.RepositoryDefinition:
    """The code location, with the addresses and passwords of the tests' servers in the environment."""
    return code_location


@pytest.fixture
def instance(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """Runs and events are kept in a folder of the test's own."""
    return instance_on_disk


@pytest.fixture
def query(warehouse_url: str) -> Iterator[Callable[[str], list[tuple]]]:
    """Ask the warehouse."""
    with asking(warehouse_url) as ask:
        yield ask
