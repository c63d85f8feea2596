"""What happens when the columns of the data are not those of the table."""

import pyarrow as pa
import pytest

from tranship.errors import (
    ConfigurationError,
    SchemaDriftError,
    TranshipError,
    UnsupportedTypeError,
    ValueDoesNotFitError,
    WriteFailedError,
)
from tranship.writes import OnSchemaChange

EVOLVE, REBUILD = OnSchemaChange.EVOLVE, OnSchemaChange.REBUILD
IN_PLACE = (OnSchemaChange.ERROR, EVOLVE)


def test_a_changed_type_is_refused_and_named(database, sales, staged_keys):
    database.write(sales)
    changed = sales.set_column(2, "Amount", pa.array(["a", "b", "c"]))
    for policy in IN_PLACE:
        with pytest.raises(SchemaDriftError) as caught:
            database.write(changed, on_schema_change=policy)
        assert '"Amount" is varchar in the incoming rows and bigint in the table' in str(
            caught.value
        )
    assert database.rows("select count(*) from {schema}.sales") == [(3,)]
    assert staged_keys() == []


def test_a_missing_column_is_refused_and_named(database, sales):
    database.write(sales)
    for policy in IN_PLACE:
        with pytest.raises(
            SchemaDriftError, match=r'"amount" \(bigint\) is missing from the incoming'
        ):
            database.write(sales.drop_columns(["Amount"]), on_schema_change=policy)


def test_an_extra_column_is_refused_unless_the_table_may_evolve(database, sales):
    database.write(sales)
    wider = sales.append_column("Note", pa.array(["x", "y", "z"]))
    with pytest.raises(SchemaDriftError) as caught:
        database.write(wider)
    assert '"Note" (varchar) is new: the table has no such column' in str(caught.value)
    assert "Set on_schema_change to evolve" in str(caught.value)
    for _ in range(2):
        database.write(wider, on_schema_change=EVOLVE)
        assert database.rows("select id, note from {schema}.sales order by id") == [
            (1, "x"),
            (2, "y"),
            (3, "z"),
        ]


def test_all_differences_are_named_at_once(database, sales):
    database.write(sales)
    with pytest.raises(SchemaDriftError) as caught:
        database.write(pa.table({"Id": [True], "Region": ["n"], "New": [1]}))
    assert [drift.column for drift in caught.value.drifts] == ["Id", "New", "amount"]


def test_narrower_values_go_into_a_wider_column(database):
    database.write(pa.table({"n": pa.array([1], pa.int64()), "d": pa.array([1.5], pa.float64())}))
    database.write(pa.table({"n": pa.array([2], pa.int16()), "d": pa.array([2.5], pa.float32())}))
    assert database.rows("select n, d from {schema}.sales") == [(2, 2.5)]


def test_a_longer_text_is_refused_with_column_row_and_bytes(database, staged_keys):
    database.write(pa.table({"note": ["short"]}))
    longer = pa.table({"note": ["ok", "é" * 20]})
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(longer)
    message = str(caught.value)
    assert 'Row 2, column "note"' in message
    assert "the value has 40 bytes, and the column holds 16" in message
    assert "Set on_schema_change to evolve" in message
    assert database.rows("select note from {schema}.sales") == [("short",)]
    assert staged_keys() == []


def test_a_longer_text_widens_the_column_where_the_table_may_evolve(database):
    database.write(pa.table({"note": ["short"]}))
    for _ in range(2):
        database.write(pa.table({"note": ["é" * 20]}), on_schema_change=EVOLVE)
        assert database.types() == {"note": "character varying(128)"}
        assert database.rows("select note from {schema}.sales") == [("é" * 20,)]


def test_a_text_too_long_for_any_column_is_refused_with_the_clusters_limit(database):
    long = pa.table({"id": [1, 2], "note": ["x", "y" * 65_536]})
    for policy in OnSchemaChange:
        with pytest.raises(ValueDoesNotFitError) as caught:
            database.write(long, on_schema_change=policy)
        assert 'Row 2, column "note"' in str(caught.value)
        assert "65536 bytes" in str(caught.value)
        assert "enable_large_strings_opt_in" in str(caught.value)
        assert '{"column_types": {"note": "super text"}}' in str(caught.value)
    # The stand-in is a cluster without that parameter: it says so itself.
    with pytest.raises(TranshipError, match="longer than 65535 bytes"):
        database.write(long, column_types={"note": "super text"})


def test_a_column_of_nulls_takes_the_type_of_the_table(database):
    nothing = pa.table({"id": [1], "note": pa.nulls(1)})
    with pytest.raises(UnsupportedTypeError, match='"note" holds only nulls'):
        database.write(nothing)
    database.write(pa.table({"id": [1], "note": ["x"]}))
    database.write(nothing)
    assert database.rows("select id, note from {schema}.sales") == [(1, None)]


def test_names_that_fold_to_the_same_one_are_refused(database):
    with pytest.raises(ConfigurationError, match=r'"Id" and "ID" of .* are both "id" in Redshift'):
        database.write(pa.table({"Id": [1], "ID": [2]}))


def test_a_name_that_is_too_long_is_refused(database):
    with pytest.raises(ConfigurationError, match="has 128 bytes; Redshift allows 127"):
        database.write(pa.table({"é" * 64: [1]}))


def test_names_with_spaces_quotes_and_percent_signs_survive(database):
    odd = pa.table({'a "b" %s': [1], "select": [2], "größe": [3]})
    for _ in range(2):
        database.write(odd)
        assert list(database.types()) == ['a "b" %s', "select", "größe"]
        assert database.rows("select * from {schema}.sales") == [(1, 2, 3)]


def test_rebuild_exchanges_the_columns_of_a_table_that_is_replaced(database, sales):
    database.write(sales)
    texts = sales.drop_columns(["Amount"]).append_column("Amount", pa.array(["a", "b", None]))
    for rows in (texts, texts.drop_columns(["Region"])):
        for _ in range(2):
            database.write(rows, on_schema_change=REBUILD)
        assert set(database.types()) == {name.lower() for name in rows.column_names}
        assert database.rows("select id, amount from {schema}.sales order by id") == [
            (1, "a"),
            (2, "b"),
            (3, None),
        ]
    longer = texts.set_column(2, "Amount", pa.array(["a" * 300] * 3))
    database.write(longer, on_schema_change=REBUILD)
    assert database.rows("select distinct len(amount) from {schema}.sales") == [(300,)]


@pytest.mark.parametrize(
    ("key", "cure"),
    [
        ("sortkey (amount)", "alter sortkey none"),
        ("distkey amount", "alter diststyle even"),
    ],
)
def test_a_key_column_cannot_be_exchanged_and_the_statement_that_frees_it_runs(
    database, sales, key, cure
):
    database.write(sales)
    database.rows(f"alter table {{schema}}.sales alter {key}")
    texts = sales.set_column(2, "Amount", pa.array(["a", "b", "c"]))
    with pytest.raises(WriteFailedError) as caught:
        database.write(texts, on_schema_change=REBUILD)
    statement = f'alter table "{database.schema}"."sales" {cure};'
    assert statement in str(caught.value)
    assert database.rows("select count(amount) from {schema}.sales") == [(3,)]
    database.rows(statement)
    database.write(texts, on_schema_change=REBUILD)
    assert database.rows("select max(amount) from {schema}.sales") == [("c",)]


def test_a_view_stands_in_the_way_of_an_exchange_unless_it_is_late_binding(database, sales):
    database.write(sales)
    database.rows("create view {schema}.looking as select amount from {schema}.sales")
    texts = sales.set_column(2, "Amount", pa.array(["a", "b", "c"]))
    with pytest.raises(WriteFailedError, match="Drop the view, load again"):
        database.write(texts, on_schema_change=REBUILD)
    assert database.rows("select count(amount) from {schema}.looking") == [(3,)]
