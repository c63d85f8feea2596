"""What a history is written in on Redshift."""

import uuid
from collections.abc import Iterator
from dataclasses import dataclass, replace

from psycopg2 import sql
from typing_extensions import override

from tranship.pgsql.history_columns import HistoryWords
from tranship.redshift.plan import ColumnExchange
from tranship.redshift.types import RedshiftType
from tranship.tables import TableName

# Texts that differ by blanks at their end are equal
# (https://docs.aws.amazon.com/redshift/latest/dg/r_Character_types.html#r_Character_types-significance-of-trailing-blanks);
# a SUPER is compared as what it is written as, since "=" looks at no nested value's type
# (https://docs.aws.amazon.com/redshift/latest/dg/query-super.html).
_COMPARED_AS = {"super": "json_serialize({})", "varbyte": "to_hex({})", "varchar": "({} || chr(1))"}


@dataclass(frozen=True)
class RedshiftHistoryWords(HistoryWords):
    """No indexes, and columns that make way for others."""

    @override
    def differ(self, type_name: str, left: sql.Composable, right: sql.Composable) -> sql.Composable:
        # There is no IS DISTINCT FROM: https://docs.aws.amazon.com/redshift/latest/dg/r_comparison_condition.html
        as_ = sql.SQL(_COMPARED_AS.get(type_name, "{}"))
        return sql.SQL(
            "coalesce({0} <> {1}, false) or ({2} is null and {3} is not null) or ({2} is not null and {3} is null)"
        ).format(as_.format(left), as_.format(right), left, right)

    @override
    def wider(self, own: RedshiftType, incoming: RedshiftType) -> RedshiftType | None:
        if own.name != incoming.name and "super" in {own.name, incoming.name}:
            return None  # a text in a SUPER is compared as what it is written as
        wide = next(
            (one for one, other in ((own, incoming), (incoming, own)) if one.holds(other)), None
        )
        if wide is None or wide.length is None:
            return wide
        longest = max(own.length or 0, incoming.length or 0)
        return replace(
            wide, name=own.name if own.name == incoming.name else "varchar", length=longest
        )

    @override
    def retyped(self, table: TableName, column: str, type_: str) -> Iterator[sql.Composable]:
        exchange = ColumnExchange(column, RedshiftType.parse(type_), keeps_values=True)
        return exchange.statements(table, f"tranship_{uuid.uuid4().hex[:16]}")


# https://docs.aws.amazon.com/redshift/latest/dg/r_DATEADD_function.html; moved as UTC's clock shows it. The rows of a merge wait
# as they were copied, in other types than the table's, so all keys are looked at: without indexes that costs a scan either way.
WORDS = RedshiftHistoryWords(
    later="timezone('UTC', dateadd(microsecond, {1}, timezone('UTC', {0})))",
    exact_text="({} || chr(1))",
)
