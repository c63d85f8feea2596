"""The views' answers put together, whatever case each of them spells names in."""

import pyarrow as pa

from tranship.sqlserver.inspection import COMMENTS, DEFAULTS, ESTIMATED_ROWS, GENERATED, Answers
from tranship.tables import TableName

ORDERS = TableName("dbo", "Orders")
COLUMNS = [
    ("dbo", "Orders", "Id", "NO", "int", None, 10, 0, None, None),
    ("dbo", "Orders", "Line No", "NO", "smallint", None, 5, 0, None, None),
    ("dbo", "Orders", "Total", "YES", "money", None, 19, 4, None, None),
    ("sales", "Orders", "Other", "YES", "nvarchar", 9, None, None, None, "Latin1_General_CS_AS"),
]


def test_lower_cased_answers_find_their_table_and_columns():
    answers = Answers(
        COLUMNS,
        [("dbo", "orders", "line no"), ("dbo", "orders", "id")],
        {
            COMMENTS: [
                ("dbo", "orders", None, "All of them"),
                ("dbo", "orders", "total", "In euro"),
            ],
            GENERATED: [("dbo", "orders", "id", True, False), ("dbo", "orders", "total", 0, 1)],
            ESTIMATED_ROWS: [("dbo", "orders", 7), ("sales", "orders", None)],
            DEFAULTS: [("dbo", "orders", "Total", "((0))")],
        },
    )
    schema = answers.schema(ORDERS)
    assert schema is not None
    assert list(schema.names) == ["Id", "Line No", "Total"]
    assert schema.primary_key == ("Line No", "Id")
    assert (schema.comment, schema.column("Total").comment) == ("All of them", "In euro")
    assert schema.column("Total").type == pa.decimal128(19, 4)
    assert (answers.identity(ORDERS), answers.computed(ORDERS)) == (("Id",), ("Total",))
    assert answers.estimated_rows(ORDERS) == 7
    assert answers.defaults(ORDERS) == {"Total": "((0))"}


def test_facts_that_were_not_asked_for_are_missing_and_nothing_else():
    answers = Answers(COLUMNS, [], {})
    schema = answers.schema(TableName("sales", "Orders"))
    assert schema is not None
    assert [column.name for column in schema.columns] == ["Other"]
    assert (schema.primary_key, schema.comment) == ((), None)
    assert (answers.identity(ORDERS), answers.computed(ORDERS)) == ((), ())
    assert answers.estimated_rows(ORDERS) is None


def test_a_table_is_known_by_its_exact_name_only():
    assert Answers(COLUMNS, [], {}).schema(TableName("dbo", "orders")) is None


def test_a_key_of_which_a_column_is_not_told_is_no_key():
    schema = Answers(COLUMNS, [("dbo", "Orders", "Id"), ("dbo", "Orders", "Gone")], {}).schema(
        ORDERS
    )
    assert schema is not None
    assert schema.primary_key == ()
