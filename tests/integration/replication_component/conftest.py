"""A replication as Dagster runs it: assets over the tests' servers, in an instance of its own."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any

import dagster as dg
import pytest
import sqlalchemy as sa
from replication_runs import EVENTS, event_rows
from statements import asking

from tranship.postgres.resource import PostgresResource
from tranship.replication import ReplicationComponent
from tranship.replication.assets import replicated_asset
from tranship.replication.config import TableSettings, Tuning
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName

QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


@pytest.fixture
def instance(instance_on_disk: dg.DagsterInstance) -> dg.DagsterInstance:
    """Runs and events are kept in a folder of the test's own."""
    return instance_on_disk


@pytest.fixture
def sqlserver(sqlserver_url: str) -> SqlServerResource:
    url = sa.make_url(sqlserver_url)
    return SqlServerResource(
        host=url.host or "",
        port=url.port or 1433,
        database=url.database or "",
        user=url.username or "",
        password=url.password or "",
        trust_server_certificate=True,
    )


@pytest.fixture
def postgres(postgres_url: str) -> PostgresResource:
    url = sa.make_url(postgres_url)
    return PostgresResource(
        host=url.host or "",
        port=url.port or 5432,
        database=url.database or "",
        user=url.username or "",
        password=url.password or "",
    )


class Replication:
    """A few tables on their way to a schema of the test's own."""

    def __init__(
        self,
        instance: dg.DagsterInstance,
        resources: dict[str, Any],
        schema: str,
        target: str = "postgres",
    ) -> None:
        self.instance = instance
        self.resources = resources
        self.schema = schema
        self.target = target
        self.assets: list[dg.AssetsDefinition] = []

    def of(
        self, *tables: TableSettings, defaults: Tuning | None = None, **more: Any
    ) -> "Replication":
        component = ReplicationComponent(
            target=self.target,
            target_schema=self.schema,
            tables=list(tables),
            defaults=defaults or Tuning(),
            **more,
        )
        self.assets = [replicated_asset(one) for one in component.replicated_tables([])]
        return self

    def key(self, name: str) -> dg.AssetKey:
        return dg.AssetKey([self.schema, name])

    def run(
        self, *names: str, more: tuple[Any, ...] = (), **options: Any
    ) -> dg.ExecuteInProcessResult:
        """Materialize some of the tables, or all, with what stands on them."""
        selection = [self.key(name) for name in names] or None
        config = {**QUIET, **options.pop("config", {})}
        return dg.materialize(
            [*self.assets, *more],
            instance=self.instance,
            resources=self.resources,
            selection=selection,
            run_config=config,
            raise_on_error=False,
            **options,
        )


@pytest.fixture
def replication(
    instance: dg.DagsterInstance,
    sqlserver: SqlServerResource,
    postgres: PostgresResource,
    postgres_schema: str,
) -> Replication:
    resources = {"sqlserver": sqlserver, "postgres": postgres}
    return Replication(instance, resources, postgres_schema)


@pytest.fixture
def source(sqlserver_connection: Any) -> Callable[[str], None]:
    """Run a statement in the source."""
    sqlserver_connection.autocommit = True

    def execute(statement: str) -> None:
        sqlserver_connection.cursor().execute(statement)

    return execute


@pytest.fixture
def copied(postgres_url: str, postgres_schema: str) -> Iterator[Callable[[str], list[tuple]]]:
    """Ask the warehouse; `{schema}` is the test's."""
    with asking(postgres_url) as ask:
        yield lambda statement: ask(statement.replace("{schema}", postgres_schema))


@pytest.fixture
def events(source_table: Callable[..., str]) -> TableName:
    """A table of thirty rows with a key and a time of change."""
    return TableName("dbo", source_table(EVENTS, event_rows(1, 30)))


@pytest.fixture
def awkward(source: Callable[[str], None]) -> Iterator[Callable[[str], TableName]]:
    """Makes tables of three rows; they are dropped after the test."""
    made: list[str] = []

    def make(name: str) -> TableName:
        table = TableName("dbo", f"{name}{secrets.token_hex(3)}")
        quoted = "[dbo].[" + table.name.replace("]", "]]") + "]"
        made.append(quoted)
        source(f"create table {quoted} (Id int not null primary key, At int not null)")
        source(f"insert into {quoted} values (1, 1), (2, 2), (3, 3)")
        return table

    yield make
    for quoted in made:
        source(f"drop table {quoted}")


@pytest.fixture
def tracks(source: Callable[[str], None], sqlserver: SqlServerResource) -> None:
    """The database tracks changes."""
    with sqlserver.connect() as connection:
        version = connection.cursor().execute("select change_tracking_current_version()").fetchval()
    if version is None:
        source("alter database current set change_tracking = on")
