"""What a sample table is: its columns once, from which its T-SQL and its Arrow schema follow."""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa

ARROW_TYPES: dict[str, pa.DataType] = {
    "bit": pa.bool_(),
    "tinyint": pa.uint8(),
    "smallint": pa.int16(),
    "int": pa.int32(),
    "float": pa.float64(),
    "money": pa.decimal128(19, 4),
    "date": pa.date32(),
    "datetime": pa.timestamp("us"),
    "nchar": pa.large_string(),
    "nvarchar": pa.large_string(),
    "varbinary": pa.large_binary(),
}
"""The Arrow type of each T-SQL type in the sample, as the `mssql-python` driver reads it back."""


@dataclass(frozen=True, slots=True)
class Column:
    """One column of a sample table.

    Args:
        name: Its name, spelled as in Microsoft's public AdventureWorksDW schema.
        sql_type: Its T-SQL type, such as `nvarchar(50)`.
        nullable: Whether it accepts null.
    """

    name: str
    sql_type: str
    nullable: bool = True

    @property
    def field(self) -> pa.Field:
        """The Arrow field that holds the column."""
        base_type = re.split(r"\(", self.sql_type, maxsplit=1)[0]
        return pa.field(self.name, ARROW_TYPES[base_type], nullable=self.nullable)

    @property
    def definition(self) -> str:
        """The column as it stands in a CREATE TABLE statement."""
        return f"[{self.name}] {self.sql_type} {'null' if self.nullable else 'not null'}"


@dataclass(frozen=True, slots=True)
class SampleTable:
    """A table of the sample warehouse: its name, how to create it, and its rows.

    Args:
        name: Its name in the schema `dbo`.
        ddl: One T-SQL CREATE TABLE statement, primary key included.
        schema: The exact Arrow schema of every batch.
        rows: How many rows the batches hold together.
        batches: Generates the rows anew on each call; the same call gives the same bytes.
    """

    name: str
    ddl: str
    schema: pa.Schema
    rows: int
    batches: Callable[[], Iterator[pa.RecordBatch]]


def sample_table(
    name: str,
    columns: Sequence[Column],
    key: Sequence[str],
    rows: int,
    batches: Callable[[pa.Schema], Iterator[pa.RecordBatch]],
) -> SampleTable:
    """Make a table from its columns, its primary key and a generator of its rows."""
    schema = pa.schema([column.field for column in columns])
    key_columns = ", ".join(f"[{column}]" for column in key)
    constraint = f"constraint [PK_{name}_{'_'.join(key)}] primary key ({key_columns})"
    lines = [*(column.definition for column in columns), constraint]
    ddl = f"create table [dbo].[{name}] (\n    " + ",\n    ".join(lines) + "\n)"
    return SampleTable(name, ddl, schema, rows, lambda: batches(schema))
