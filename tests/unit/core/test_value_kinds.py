"""The table of kinds in docs/types.md is what happens: which types they get, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from value_kinds import EXACT, REFUSED, Kind, Refused, arrow_takes_uuid_objects, documented, frame

from tranship.errors import TranshipError
from tranship.frames import Batches
from tranship.postgres.casting import fit_batch
from tranship.postgres.ddl import new_columns
from tranship.postgres.types import column_type
from tranship.redshift.casting import BatchCaster
from tranship.redshift.reconcile import reconcile
from tranship.redshift.types import type_for
from tranship.slices import WholeTable
from tranship.tables import TableName, TableSchema
from tranship.writes import WriteRequest

DOCS = Path(__file__).parents[3] / "docs" / "types.md"
TABLE = TableName("public", "t")
HELD = [(kind, library) for kind in EXACT for library in kind.held]
NOT_HELD = [(kind, library) for kind in REFUSED for library in kind.held]


def ids(value: Any) -> str:
    return getattr(value, "name", value)


def test_the_documented_table_is_made_of_the_kinds_that_are_tested():
    assert documented() in DOCS.read_text(encoding="utf-8")


@pytest.mark.parametrize(("kind", "library"), HELD, ids=ids)
def test_a_kind_gets_the_documented_type_from_every_library(kind: Kind, library: str):
    values = frame(library, {"v": kind.held[library].column([*kind.edges, None])})
    if (kind.name, library) == ("UUIDs", "pandas") and not arrow_takes_uuid_objects():
        with pytest.raises(TranshipError, match='"v" of the frame has no type'):
            Batches.of(values)
        return
    (column,) = TableSchema.from_arrow(Batches.of(values).schema).columns

    assert str(column_type(column)) == kind.postgres
    if kind.redshift is None:
        with pytest.raises(TranshipError, match='"v"'):
            type_for(column)
    else:
        assert str(type_for(column)) == kind.redshift


def sent_to_postgres(batches: Batches) -> None:
    plans = new_columns(WriteRequest(TABLE), TableSchema.from_arrow(batches.schema))
    for batch in batches:
        fit_batch(batch, plans, TABLE, 0)


def sent_to_redshift(batches: Batches) -> None:
    request = WriteRequest(TABLE)
    plan = reconcile(request, TableSchema.from_arrow(batches.schema), None, TABLE, {})
    caster = BatchCaster(plan, WholeTable())
    for batch in batches:
        caster.cast(batch)


@pytest.mark.filterwarnings("ignore:Series.values returning")  # pyarrow's own call
@pytest.mark.parametrize("send", [sent_to_postgres, sent_to_redshift])
@pytest.mark.parametrize(("kind", "library"), NOT_HELD, ids=ids)
def test_a_kind_that_would_change_is_refused_by_column(kind: Refused, library: str, send: Any):
    values = frame(library, {"v": kind.held[library].column([])})

    with pytest.raises(TranshipError) as refused:
        send(Batches.of(values))

    assert '"v"' in str(refused.value)
