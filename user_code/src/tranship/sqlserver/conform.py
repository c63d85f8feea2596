"""The driver's batches, as batches of the schema that the catalogue declared."""

from collections.abc import Callable
from dataclasses import dataclass

import pyarrow as pa

from tranship.errors import BatchDoesNotFitError
from tranship.reads import OnNul
from tranship.sqlserver.nul import without_nul
from tranship.sqlserver.types import may_hold_nul, wire_form
from tranship.tables import Column, TableName, TableSchema

Conversion = Callable[[pa.Array, int], pa.Array]


@dataclass(frozen=True, slots=True)
class Conformer:
    """Turns each batch of one query into a batch of the declared schema; most columns pass untouched.

    Args:
        schema: The declared schema.
        conversions: Per column, what makes the declared type of what the driver gives.
    """

    schema: pa.Schema
    conversions: tuple[Conversion | None, ...]

    def conform(self, batch: pa.RecordBatch, first_row: int) -> pa.RecordBatch:
        """One batch of the declared schema.

        Args:
            batch: What the driver fetched.
            first_row: The number of its first row in the result, counted from 1.

        Raises:
            ValueDoesNotFitError: A text holds U+0000 and the policy is to refuse it.
            BatchDoesNotFitError: A value does not fit the declared type.
        """
        arrays = [
            array if convert is None else convert(array, first_row)
            for array, convert in zip(batch.columns, self.conversions, strict=True)
        ]
        return pa.RecordBatch.from_arrays(arrays, schema=self.schema)


def conformer(
    table: TableName, schema: TableSchema, fetched: pa.Schema, on_nul: OnNul
) -> Conformer:
    """The conversions for a query, from what the driver says it will fetch.

    Raises:
        BatchDoesNotFitError: The server's columns are not those that the catalogue declared.
    """
    if len(fetched) != len(schema.columns):
        raise BatchDoesNotFitError(
            f"{table} gave {len(fetched)} columns where {len(schema.columns)} were asked for.",
            "The table was changed in between; read it again.",
        )
    return Conformer(
        schema.to_arrow(),
        tuple(
            _conversion(table, column, arrow_field.type, on_nul)
            for column, arrow_field in zip(schema.columns, fetched, strict=True)
        ),
    )


def _conversion(
    table: TableName, column: Column, fetched: pa.DataType, on_nul: OnNul
) -> Conversion | None:
    source, target = column.source_type, column.type
    if source is not None:
        expected = wire_form(source, target)
        if fetched == expected.type:
            convert = expected.convert
            if convert is not None:
                return lambda array, _: convert(array)
            if may_hold_nul(source) and on_nul is not OnNul.KEEP:
                return lambda array, first_row: without_nul(
                    array, on_nul, table=table, column=column.name, first_row=first_row
                )
    if fetched == target:
        return None

    def cast(array: pa.Array, _: int) -> pa.Array:
        try:
            return array.cast(target)
        except pa.ArrowException as error:
            raise BatchDoesNotFitError(
                f'The column "{column.name}" of {table} is declared {source or target}, but arrived as '
                f"{array.type}: {error}.",
                "If the table was changed meanwhile, read it again; else name the type with cast.",
            ) from error

    return cast
