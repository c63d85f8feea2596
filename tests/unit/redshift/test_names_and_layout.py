"""Identifiers as Redshift folds them, and the statements that make tables."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from psycopg2 import sql

from tranship.errors import ConfigurationError
from tranship.pgsql.catalogue import ExistingTable
from tranship.redshift.catalogue import RedshiftColumn
from tranship.redshift.ddl import TableLayout, alterations, create_table
from tranship.redshift.identifiers import derived_name, fold, fold_columns, fold_slice
from tranship.redshift.reconcile import reconcile
from tranship.redshift.types import RedshiftType
from tranship.slices import AllOf, KeyRange, Values
from tranship.tables import Column, TableName, TableSchema
from tranship.writes import OnSchemaChange, WriteRequest

TABLE = TableName("mart", "sales")
SCHEMA = TableSchema(
    (
        Column("Id", pa.int32(), nullable=False),
        Column("Note", pa.string()),
        Column("Hour", pa.time64("us")),
    )
)


def text(statement):
    """A statement's text; without a connection only names and words can be shown."""
    if isinstance(statement, sql.Composed):
        return "".join(text(part) for part in statement)
    if isinstance(statement, sql.Identifier):
        return ".".join(f'"{name}"' for name in statement.strings)
    if isinstance(statement, sql.SQL):
        return statement.string
    return repr(statement.wrapped)


def planned(existing=None, **request):
    return reconcile(WriteRequest(TABLE, **request), SCHEMA, existing, TABLE, {})


def test_only_ascii_letters_fold():
    assert fold("ÄbC") == "Äbc"


@given(st.text(min_size=1, max_size=30))
def test_folding_twice_changes_nothing(name):
    assert fold(fold(name)) == fold(name)


def test_folded_names_that_collide_are_named():
    with pytest.raises(ConfigurationError, match='"Id" and "iD"'):
        fold_columns(["Id", "iD"], TABLE)


def test_more_columns_than_a_table_may_have_are_refused():
    with pytest.raises(ConfigurationError, match="1601 columns; Redshift allows 1600"):
        fold_columns([f"c{n}" for n in range(1601)], TABLE)


def test_slices_fold_with_their_columns():
    part = AllOf((Values("Region", ("n",)), KeyRange("Id", 1)))
    assert fold_slice(part).columns == ("region", "id")


@given(st.text(min_size=1, max_size=60), st.text(min_size=1, max_size=60))
def test_derived_names_fit_and_stay_apart(one, other):
    first, second = (derived_name(name * 3, "__writes") for name in (one, other))
    assert len(first.encode()) <= 127
    assert (first == second) == (one == other)


def test_a_new_table_has_types_nulls_and_layout():
    layout = TableLayout(
        distkey="ID", sortkey=("Note",), sortstyle="compound", encodings={"note": "ZSTD"}
    )
    statement = text(create_table(planned().measured({"note": 40}), layout))
    assert statement == (
        'create table if not exists "mart"."sales" ("id" integer not null, '
        '"note" varchar(128) encode zstd, "hour" time) '
        'diststyle key distkey ("id") compound sortkey ("note")'
    )


def test_times_are_copied_as_text_because_copy_has_no_time():
    plan = planned()
    assert plan.converts
    assert plan.staged_schema.field("hour").type == pa.string()


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"distkey": "nope"}, 'names "nope"'),
        ({"sortkey": ["nope"]}, 'names "nope"'),
        ({"encodings": {"nope": "raw"}}, 'names "nope"'),
        ({"primary_key": "nope"}, 'names "nope"'),
    ],
)
def test_a_layout_on_columns_that_are_not_there_is_refused(metadata, message):
    with pytest.raises(ConfigurationError, match=message):
        create_table(planned().measured({}), TableLayout.from_metadata(metadata))


@pytest.mark.parametrize(
    "metadata",
    [
        {"diststyle": "round"},
        {"sortstyle": "bubble"},
        {"encodings": {"id": "zip; drop table x"}},
        {"diststyle": "even", "distkey": "id"},
        {"diststyle": "key"},
    ],
)
def test_a_layout_that_redshift_does_not_have_is_refused(metadata):
    with pytest.raises(ConfigurationError):
        TableLayout.from_metadata(metadata)


def test_a_table_is_altered_one_column_at_a_time():
    existing = ExistingTable(TABLE, (RedshiftColumn("note", RedshiftType("varchar", length=16)),))
    plan = planned(existing, on_schema_change=OnSchemaChange.EVOLVE).measured({"note": 20})
    assert [text(statement) for statement in alterations(plan, existing)] == [
        'alter table "mart"."sales" add column "id" integer',
        'alter table "mart"."sales" alter column "note" type varchar(64)',
        'alter table "mart"."sales" add column "hour" time',
    ]
