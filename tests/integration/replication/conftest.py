"""A source to change, a target to look at, and loads between them."""

from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import psycopg2
import pyarrow as pa
import pytest
from psycopg2 import sql
from redshift_places import own_schema, settings_of
from statements import Rows, rows_of
from tests.integration.replication.killing import ROWS_PER_BATCH, Job, Loaders

from tranship.bookmarks import Bookmark
from tranship.frames import Batches
from tranship.pgsql.target import PgsqlTarget
from tranship.postgres.settings import PostgresSettings
from tranship.postgres.target import PostgresTarget
from tranship.redshift.settings import RedshiftSettings
from tranship.redshift.target import RedshiftTarget
from tranship.replication.columns import ColumnChanges
from tranship.replication.load import LoadReport, LoadRequest, load
from tranship.replication.plan import TablePlan
from tranship.sqlserver import reader
from tranship.sqlserver.settings import SqlServerSettings
from tranship.sqlserver.source import SqlServerSource
from tranship.tables import TableName
from tranship.target import Target

COLUMNS = ("id", "name", "amount", "changed")


class Origin:
    """A table of the source."""

    def __init__(self, settings: SqlServerSettings, connection: Any, name: str) -> None:
        self.settings = settings
        self.name = TableName("dbo", name)
        self.connection = connection

    def run(self, *statements: str) -> None:
        """Run statements, committed each; `{table}` stands for the table."""
        for statement in statements:
            self.connection.cursor().execute(self.spelled(statement))

    def spelled(self, statement: str) -> str:
        return statement.replace("{table}", f"[dbo].[{self.name.name}]")

    def rows(self, columns: str = ", ".join(COLUMNS), where: str = "1 = 1") -> Rows:
        """All rows of the table."""
        statement = self.spelled(f"select {columns} from {{table}} where {where}")
        return [tuple(row) for row in self.connection.cursor().execute(statement).fetchall()]

    def add(self, *ids: int, changed: str = "2024-01-01T00:00:00", name: str = "n") -> None:
        """Rows with these ids."""
        values = ", ".join(f"({id_}, N'{name}{id_}', {id_}.25, '{changed}')" for id_ in ids)
        self.run(f"insert into {{table}} (id, name, amount, changed) values {values}")


@dataclass(frozen=True)
class Place:
    """A schema of the target."""

    target: PgsqlTarget
    schema: str
    connect: Callable[[], Any]

    def rows(self, statement: str, table: TableName | None = None) -> Rows:
        """Run a statement; `{}` stands for the table, quoted."""
        names = [self.target.identifier(table)] if table else []
        with closing(self.connect()) as connection:
            connection.autocommit = True
            return rows_of(connection, sql.SQL(statement).format(*names))

    def table(self, name: str) -> TableName:
        return TableName(self.schema, name)

    def all(self, table: TableName, columns: str = ", ".join(COLUMNS)) -> Rows:
        return self.rows(f"select {columns} from {{}}", table)


@dataclass(frozen=True)
class Replica:
    """One table of the source and its copy."""

    origin: Origin
    place: Place
    plan: TablePlan

    def changed(self, **settings: Any) -> "Replica":
        """The same with other settings."""
        return replace(self, plan=replace(self.plan, **settings))

    @cached_property
    def source(self) -> SqlServerSource:
        """The source's side; looked up once, because that takes longer than a small load."""
        return SqlServerSource.open(self.origin.settings, self.plan.source_request)

    def load(self, target: Target | None = None, **request: Any) -> LoadReport:
        """Bring the copy up to date."""
        return load(self.plan, self.source, target or self.place.target, LoadRequest(**request))

    def job(self, **request: Any) -> Job:
        """The same load, for a process of its own."""
        # A copy, without the sessions that the target keeps for itself.
        target: Any = self.place.target
        return Job(self.plan, self.source, replace(target), LoadRequest(**request))

    @property
    def bookmark(self) -> Bookmark | None:
        return self.place.target.bookmark(self.plan.target)

    def copied(self, columns: str = ", ".join(COLUMNS)) -> Rows:
        return self.place.all(self.plan.target, columns)

    def assert_equal(self, columns: str = ", ".join(COLUMNS)) -> None:
        """The copy has the source's rows: none is missing, none is there twice."""
        expected, found = Counter(self.origin.rows(columns)), Counter(self.copied(columns))
        assert found - expected == Counter(), "the copy has rows too many"
        assert expected - found == Counter(), "the copy lacks rows"


@pytest.fixture(scope="session")
def loaders(aws_environment: None) -> Iterator[Loaders]:
    """Processes to load in, and to kill; they have the environment of the moment they are made."""
    made = Loaders()
    yield made
    made.close()


@pytest.fixture
def source_settings(sqlserver_url: str) -> SqlServerSettings:
    """The source, as the library is told of it."""
    return SqlServerSettings.from_url(sqlserver_url)


EVENTS = """
    create table {table} (
        id int not null primary key, name nvarchar(40), amount decimal(10, 2) not null, changed datetime2(6)
    )
"""
KEYLESS = EVENTS.replace(" primary key", "")
VERSIONED = EVENTS.replace("changed datetime2(6)", "changed datetime2(6), version rowversion")


@pytest.fixture
def origin(
    source_settings: SqlServerSettings, source_table: Callable[..., str], source_connection: Any
) -> Callable[..., Origin]:
    """Create a table in the source: by its statement, or `EVENTS`."""
    return lambda *statements: Origin(
        source_settings, source_connection, source_table(*(statements or (EVENTS,)))
    )


@pytest.fixture
def source_connection(connect_to_source: Callable[..., Any]) -> Any:
    """A connection to the source whose statements are committed each."""
    return connect_to_source(autocommit=True)


@pytest.fixture
def postgres(postgres_url: str, postgres_schema: str) -> Place:
    """A schema of Postgres."""
    return Place(
        PostgresTarget(PostgresSettings.from_url(postgres_url)),
        postgres_schema,
        lambda: psycopg2.connect(postgres_url.replace("+psycopg2", "")),
    )


@pytest.fixture
def redshift_settings(
    redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str
) -> RedshiftSettings:
    return settings_of(redshift_url, bucket, iam_role, s3_endpoint)


@contextmanager
def redshift_place(settings: RedshiftSettings) -> Iterator[Place]:
    """A schema of a Redshift, dropped afterwards."""
    with own_schema(settings) as database:
        yield Place(RedshiftTarget(settings), database.schema, database.connect)


@pytest.fixture
def redshift(redshift_settings: RedshiftSettings) -> Iterator[Place]:
    """A schema of Redshift."""
    with redshift_place(redshift_settings) as place:
        yield place


@pytest.fixture(params=["postgres", "redshift"])
def place(request: pytest.FixtureRequest) -> Place:
    """A schema of each kind of target in turn."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def replica(origin: Callable[..., Origin], postgres: Place) -> Callable[..., Replica]:
    """A table of the source and its copy in Postgres, not loaded yet."""

    def make(*statements: str, **settings: Any) -> Replica:
        return of(origin(*statements), postgres, **settings)

    return make


def of(origin: Origin, place: Place, **settings: Any) -> Replica:
    """A table and its copy, not loaded yet."""
    return Replica(origin, place, TablePlan(origin.name, place.table(origin.name.name), **settings))


def track_changes(origin: Origin) -> None:
    """Let the database and a table of it track changes."""
    state = origin.connection.cursor().execute("select change_tracking_current_version()")
    if state.fetchval() is None:
        origin.run(
            "alter database current set change_tracking = on (change_retention = 2 days, auto_cleanup = on)"
        )
    origin.run("alter table {table} enable change_tracking")


@pytest.fixture
def snapshots_off(source_connection: Any) -> Iterator[None]:
    """The database allows no snapshot isolation for a while."""
    run = source_connection.cursor().execute
    run("alter database current set allow_snapshot_isolation off")
    yield
    run("alter database current set allow_snapshot_isolation on")


class Meanwhile:
    """Things that happen once, at a moment of the next load."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def before(self, owner: Any, name: str, happens: Callable[[], Any]) -> None:
        """Before a function is called for the first time."""
        self._around(owner, name, happens, lambda: None)

    def after(self, owner: Any, name: str, happens: Callable[[], Any]) -> None:
        """After a function was called for the first time."""
        self._around(owner, name, lambda: None, happens)

    def _around(
        self, owner: Any, name: str, first: Callable[[], Any], last: Callable[[], Any]
    ) -> None:
        original = getattr(owner, name)
        done: list[bool] = []

        def once(*arguments: Any, **settings: Any) -> Any:
            if done:
                return original(*arguments, **settings)
            done.append(True)
            first()
            answer = original(*arguments, **settings)
            last()
            return answer

        self._patch.setattr(owner, name, once)

    def in_the_stream(self, happens: Callable[[], Any]) -> None:
        """When the first of several batches has come from the source."""
        original = ColumnChanges.applied
        done: list[bool] = []

        def applied(changes: ColumnChanges, batches: Batches) -> Batches:
            changed = original(changes, batches)

            def opened() -> Iterator[pa.RecordBatch]:
                for batch in changed.open():
                    yield batch
                    if not done:
                        done.append(True)
                        happens()

            return Batches(changed.schema, opened, changed.replayable)

        self._patch.setattr(ColumnChanges, "applied", applied)
        self._patch.setattr(reader, "_FIRST_ROWS", ROWS_PER_BATCH)
        self._patch.setattr(reader, "_FEWEST_ROWS", ROWS_PER_BATCH)


@pytest.fixture
def meanwhile(monkeypatch: pytest.MonkeyPatch) -> Meanwhile:
    """Let things happen while a load runs."""
    return Meanwhile(monkeypatch)
