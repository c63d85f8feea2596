import datetime as dt
from decimal import Decimal

import pyarrow as pa

from bench.fingerprint import ColumnSum, Fingerprint, of_batches, plain, verdict

MOMENT = dt.datetime(2024, 2, 29, 12)
SENT = Fingerprint(
    3,
    (
        ColumnSum("Id", "number", 3, Decimal(6)),
        ColumnSum("UnitPrice", "number", 3, Decimal("10.5000")),
        ColumnSum("Paid", "flag", 2, 1),
        ColumnSum("Name", "text", 2, 7),
        ColumnSum("At", "moment", 3, (MOMENT, MOMENT)),
    ),
)


def arrived(rows: int = 3, **changed: ColumnSum) -> Fingerprint:
    columns = {
        "id": ColumnSum("id", "number", 3, Decimal(6), "bigint"),
        "unit_price": ColumnSum("unit_price", "number", 3, Decimal("10.5"), "numeric"),
        "paid": ColumnSum("paid", "flag", 2, 1, "boolean"),
        "name": ColumnSum("name", "text", 2, 7, "text"),
        "at": ColumnSum("at", "moment", 3, (MOMENT, MOMENT), "timestamp"),
        "_dlt_id": ColumnSum("_dlt_id", "text", 3, 42, "varchar"),
    }
    return Fingerprint(rows, tuple({**columns, **changed}.values()))


def test_names_in_another_spelling_and_further_columns_are_right():
    assert verdict(SENT, arrived()) == "right"


def test_missing_rows_are_wrong():
    assert verdict(SENT, arrived(rows=2)) == "wrong: 2 rows instead of 3"


def test_another_sum_is_wrong():
    price = ColumnSum("unit_price", "number", 3, Decimal("10.49"), "numeric")
    assert verdict(SENT, arrived(unit_price=price)) == (
        "wrong: UnitPrice adds up to 10.49 instead of 10.5000"
    )


def test_a_null_that_became_an_empty_text_is_wrong():
    name = ColumnSum("name", "text", 3, 7, "text")
    assert verdict(SENT, arrived(name=name)) == "wrong: Name has 3 values instead of 2"


def test_a_missing_column_is_wrong():
    gone = ColumnSum("other", "text", 2, 7, "text")
    assert verdict(SENT, arrived(name=gone)) == "wrong: Name is missing"


def test_the_same_values_in_another_type_are_right_but_named():
    assert verdict(
        SENT,
        arrived(
            paid=ColumnSum("paid", "number", 2, Decimal(1), "smallint"),
            unit_price=ColumnSum("unit_price", "number", 3, Decimal("10.5"), "text"),
            at=ColumnSum("at", "moment", 3, (MOMENT, MOMENT), "timestamptz"),
        ),
    ) == ("right, but UnitPrice is text; Paid is smallint; At is timestamptz")


def test_floats_may_differ_in_their_last_digits_and_not_more():
    sent = Fingerprint(1, (ColumnSum("f", "float", 1, 0.1 + 0.2),))
    same = Fingerprint(1, (ColumnSum("f", "float", 1, 0.3, "double precision"),))
    other = Fingerprint(1, (ColumnSum("f", "float", 1, 0.3001, "double precision"),))
    assert verdict(sent, same) == "right"
    assert verdict(sent, other).startswith("wrong: f adds up to 0.3001")


def test_no_more_than_three_differences_are_listed():
    sent = Fingerprint(1, tuple(ColumnSum(name, "number", 1, Decimal(1)) for name in "abcde"))
    assert verdict(sent, Fingerprint(1, ())) == (
        "wrong: a is missing; b is missing; c is missing and 2 more"
    )


def test_the_rows_sent_are_added_up_over_all_batches():
    batch = pa.record_batch(
        {
            "n": pa.array([1, None], pa.int32()),
            "amount": pa.array([Decimal("1.25"), Decimal("-0.25")], pa.decimal128(19, 4)),
            "flag": pa.array([True, False]),
            "text": pa.array(["é", None]),
            "raw": pa.array([b"", b"abc"]),
            "at": pa.array([MOMENT, None], pa.timestamp("us")),
            "nothing": pa.array([None, None], pa.string()),
        }
    )
    found = {column.name: column for column in of_batches(batch.schema, [batch, batch]).columns}
    assert {name: (column.filled, column.total) for name, column in found.items()} == {
        "n": (2, Decimal(2)),
        "amount": (4, Decimal("2.0000")),
        "flag": (4, 2),
        "text": (2, 4),
        "raw": (4, 6),
        "at": (2, (MOMENT, MOMENT)),
        "nothing": (0, None),
    }


def test_addresses_lose_what_only_sqlalchemy_knows():
    assert plain("postgresql+psycopg2://u:p@h/d") == "postgresql://u:p@h/d"
    assert plain("redshift://u:p@h:5439/d") == "postgresql://u:p@h:5439/d"
