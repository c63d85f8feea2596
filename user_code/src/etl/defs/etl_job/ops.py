"""Ops that move tables one by one: find them, extract each, load each."""

from collections import defaultdict
from collections.abc import Iterator, Sequence

import dagster as dg
from pydantic import Field

from etl.retries import TRANSIENT_FAULTS
from tranship.errors import TableNotFoundError
from tranship.failures import as_failures
from tranship.frames import Batches
from tranship.io_manager import write_metadata
from tranship.names import distinct, identifier, key_part, shortened
from tranship.postgres.resource import PostgresResource
from tranship.sqlserver.resource import SqlServerResource
from tranship.tables import TableName
from tranship.writes import WriteRequest

TARGET_SCHEMA = "public"
TARGET_PREFIX = "stg_"
LONGEST_TARGET_NAME = 63 - len(TARGET_PREFIX)
"""In bytes; Postgres cuts what is longer."""
LONGEST_MAPPING_KEY = 120
"""It becomes part of a file's name."""
EXTRACTED = {
    "df": dg.Out(Batches, description="The table's rows, spooled as an Arrow file."),
    "tbl": dg.Out(str, description="What the target table is called, after `stg_`."),
}


class WantedTables(dg.Config):
    """Which tables of the source are moved."""

    tables: list[str] = Field(
        default=["dbo.Dim*", "dbo.Fact*"],
        description="Tables as schema.table; * and ? are wildcards.",
    )
    exclude: list[str] = Field(
        default=[], description="Tables left out although a pattern names them."
    )


@dg.op(out=dg.DynamicOut(list), retry_policy=TRANSIENT_FAULTS)
def wanted_tables(
    context: dg.OpExecutionContext, config: WantedTables, sqlserver: SqlServerResource
):
    """Ask the source's catalogue for the tables that match the configuration, one output each: schema and name.

    One that would be loaded as the same table as another comes with the reason, for its own step to fail with.
    """
    with as_failures():
        found = sqlserver.tables(config.tables, exclude=config.exclude)
        if not found:
            raise TableNotFoundError(
                f"No table of {sqlserver.database} matches {config.tables}.",
                "Check the patterns in the launchpad, and that the user may see the tables.",
            )
    context.log.info(f"{len(found)} tables to move: {', '.join(map(str, found))}.")
    keys = distinct(found, mapping_key, str)
    refusals = refusals_of(found)
    for table in found:
        value = [table.schema, table.name, *refusals.get(table, ())]
        yield dg.DynamicOutput(value, mapping_key=keys[table])


@dg.op(out=EXTRACTED, retry_policy=TRANSIENT_FAULTS, tags={"kind": "sqlserver"})
def extract_table(context: dg.OpExecutionContext, sqlserver: SqlServerResource, table: list):
    """Read one table from SQL Server as a stream of record batches."""
    schema, name, *refusal = table
    if refusal:
        raise dg.Failure(refusal[0], allow_retries=False)
    return extract(context, sqlserver, TableName(schema, name))


@dg.op(out=dg.Out(int), retry_policy=TRANSIENT_FAULTS, tags={"kind": "postgres"})
def load_table(context: dg.OpExecutionContext, postgres: PostgresResource, df: Batches, tbl: str):
    """Replace one `stg_` table in Postgres; gives how many rows it has now."""
    yield from load(context, postgres, df, tbl)


@dg.op(out=EXTRACTED, retry_policy=TRANSIENT_FAULTS, tags={"kind": "sqlserver"})
def extract_dim_product_category(context: dg.OpExecutionContext, sqlserver: SqlServerResource):
    """Read the product categories from SQL Server."""
    return extract(context, sqlserver, TableName("dbo", "DimProductCategory"))


@dg.op(out=dg.Out(int), retry_policy=TRANSIENT_FAULTS, tags={"kind": "postgres"})
def load_dim_product_category(
    context: dg.OpExecutionContext, postgres: PostgresResource, df: Batches, tbl: str
):
    """Replace `stg_DimProductCategory` in Postgres; gives how many rows it has now."""
    yield from load(context, postgres, df, tbl)


def extract(
    context: dg.OpExecutionContext, sqlserver: SqlServerResource, table: TableName
) -> tuple[Batches, str]:
    """Start reading a table; the rows flow when the spool asks for them."""
    context.log.info(f"Extracting {table} from {sqlserver.database}.")
    with as_failures():
        return sqlserver.read(table, log=context.log), target_name(table)


def load(
    context: dg.OpExecutionContext, postgres: PostgresResource, df: Batches, tbl: str
) -> Iterator[dg.AssetMaterialization | dg.AssetCheckEvaluation | dg.Output[int]]:
    """Replace a `stg_` table, count it, and report both to Dagster.

    Raises:
        dagster.Failure: The write failed, or the table has not as many rows as were extracted.
    """
    table = TableName(TARGET_SCHEMA, f"{TARGET_PREFIX}{tbl}")
    asset_key = dg.AssetKey([table.schema, key_part(table.name)])
    with as_failures():
        result = postgres.write(WriteRequest(table), df, log=context.log)
        rows_in_table = postgres.row_count(table)
    context.log.info(
        f"Loaded {result.rows:,} rows into {table} in {result.seconds:.2f} s "
        f"({result.rows_per_second:,.0f} rows/s)."
    )
    complete = rows_in_table == result.rows
    yield dg.AssetMaterialization(asset_key, metadata=write_metadata(result))
    yield dg.AssetCheckEvaluation(
        asset_key=asset_key,
        check_name="as_many_rows_as_extracted",
        passed=complete,
        metadata={"rows_extracted": result.rows, "rows_in_table": rows_in_table},
    )
    if not complete:
        raise dg.Failure(
            f"{table} has {rows_in_table:,} rows, but {result.rows:,} were extracted. "
            "Something else writes to the table; give it a table of its own.",
            allow_retries=False,
        )
    yield dg.Output(result.rows)


def target_name(table: TableName) -> str:
    """What a source table is called after `stg_`; the schema is named unless it is `dbo`.

    A name that Postgres has no room for ends with a digest of all of it.
    """
    name = table.name if table.schema == "dbo" else f"{table.schema}_{table.name}"
    return shortened(name, LONGEST_TARGET_NAME)


def mapping_key(table: TableName) -> str:
    """What the steps of a table are told apart by."""
    return shortened(identifier(table.schema, table.name), LONGEST_MAPPING_KEY)


def refusals_of(tables: Sequence[TableName]) -> dict[TableName, list[str]]:
    """Why some of the tables cannot be moved: they would be loaded as one."""
    sharing: defaultdict[str, list[TableName]] = defaultdict(list)
    for table in tables:
        sharing[target_name(table)].append(table)
    return {
        table: [
            f"{' and '.join(map(str, together))} would both be loaded as {TARGET_SCHEMA}.{TARGET_PREFIX}{name}. "
            "Exclude all but one of them in the launchpad."
        ]
        for name, together in sharing.items()
        if len(together) > 1
        for table in together
    }
