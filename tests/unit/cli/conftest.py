"""Tables as the catalogue describes them, made of T-SQL types."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from click.testing import Result
from command_line import command_line

from tranship.sqlserver.catalogue import readable_as
from tranship.sqlserver.types import arrow_type
from tranship.systems import SourceTable
from tranship.tables import Column, SourceType, TableName, TableSchema

MakeTable = Callable[..., SourceTable]


@pytest.fixture
def make_table() -> MakeTable:
    """Make a table of columns like `Id="int not null"`; the key is `Id` where there is such a column."""

    def make(
        name: str = "dbo.Orders",
        *,
        rows: int | None = 50_000,
        key: tuple[str, ...] | None = None,
        identity: tuple[str, ...] = (),
        comment: str | None = None,
        **columns: str,
    ) -> SourceTable:
        made = []
        for column, declared in columns.items():
            type_ = SourceType.parse(declared.removesuffix(" not null"))
            made.append(
                Column(column, arrow_type(type_) or pa.null(), not declared.endswith("null"), type_)
            )
        own = ("Id",) if key is None and "Id" in columns else key or ()
        schema = TableSchema(tuple(made), own, comment)
        return SourceTable(
            TableName.parse(name, default_schema="dbo"),
            schema,
            identity=identity,
            estimated_rows=rows,
            readable_as=readable_as(schema),
        )

    return make


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Result]:
    """Run the command line."""
    return command_line(monkeypatch, tmp_path)
