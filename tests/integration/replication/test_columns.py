"""What arrives of a table's columns, and what never does."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.errors import ConfigurationError
from tranship.replication.config import ColumnSettings
from tranship.replication.plan import Mode, OnDelete
from tranship.tables import TableName

PEOPLE = """
    create table {table} (
        Email nvarchar(100) not null primary key, Pin int not null, Phone char(2), Salary money, Born date,
        Photo varbinary(20), changed datetime2(6) not null
    )
"""
SECRETS = ("ada@example.org", "90210", "98765", "1815", "cafe")
MASKED = ColumnSettings(
    mask={
        "Email": "hash", "Pin": "hash", "Phone": "redact", "Salary": "redact", "Born": "redact", "Photo": "redact",
    },
    rename={"Email": "person"},
)  # fmt: skip


def add_people(origin: Origin) -> None:
    origin.run(
        "insert into {table} values (N'ada@example.org', 90210, 'ab', 98765.4321, '1815-12-10', 0xcafe, "
        "'2024-01-01'), (N'bob@example.org', 90210, null, 1, '1990-01-01', 0x00, '2024-01-01')"
    )


def everything(place: Place) -> str:
    """All values of all tables of a schema, as one text."""
    tables = place.rows(
        f"select table_name from information_schema.tables where table_schema = '{place.schema}'"
    )
    found = [place.rows("select * from {}", TableName(place.schema, name)) for (name,) in tables]
    assert len(found) >= 2
    return json.dumps(
        found,
        default=lambda value: bytes(value).hex() if isinstance(value, memoryview) else str(value),
    )


def test_masked_values_arrive_nowhere_in_the_target(
    origin: Callable[..., Origin], place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    made = of(
        origin(PEOPLE),
        place,
        mode=Mode.MERGE,
        cursor="changed",
        columns=MASKED,
        delete=OnDelete.MARK,
    )
    add_people(made.origin)
    made.load(mask_key="secret", measured=True)
    made.origin.run("update {table} set changed = '2024-01-02' where Phone is null")
    made.load(mask_key="secret", measured=True)
    written = everything(place)
    assert not [secret for secret in SECRETS if secret in written or secret in caplog.text]
    rows = made.place.rows(
        "select pin, phone, salary, born, photo from {}"
        if place.target.kind == "redshift"
        else 'select "Pin", "Phone", "Salary", "Born", "Photo" from {}',
        made.plan.target,
    )
    (pins,) = {pin for pin, *_ in rows}
    assert len(pins) == 64
    assert {rest for _, *rest_ in rows for rest in [tuple(rest_)]} == {
        ("***", None, None, None),
        (None, None, None, None),
    }


def test_digests_join_tables_under_one_key_and_not_under_another(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    columns = ColumnSettings(mask={"Email": "hash"})
    one, other = (of(origin(PEOPLE), postgres, columns=columns) for _ in range(2))
    for made in (one, other):
        add_people(made.origin)
        made.load(mask_key="secret")
    assert sorted(one.copied('"Email"')) == sorted(other.copied('"Email"'))
    other.load(mask_key="another secret")
    assert not set(one.copied('"Email"')) & set(other.copied('"Email"'))


def test_a_redacted_key_leaves_a_replaced_table_without_key(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(PEOPLE), postgres, columns=ColumnSettings(mask={"Email": "redact"}))
    add_people(made.origin)
    made.load()
    assert made.copied('"Email"') == [("***",), ("***",)]


def test_columns_are_chosen_renamed_and_cast(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(
        origin(PEOPLE),
        postgres,
        columns=ColumnSettings(
            include=["Salary", "Email"], rename={"Email": "mail"},
            cast={"Salary": "decimal(10, 1)"},
        ),
    )  # fmt: skip
    add_people(made.origin)
    made.load()
    schema = postgres.target.schema_of(made.plan.target)
    assert schema is not None
    assert schema.names == ("Salary", "mail")
    assert sorted(str(row[0]) for row in made.copied("*")) == ["1.0", "98765.4"]


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"columns": ColumnSettings(mask={"Email": "redact"})}, '"Email" of .* is redacted, but it is part of the key'),
        ({"columns": ColumnSettings(exclude=["Email"])}, '"Email" of .* is left out, but it is part of the key'),
        ({"columns": ColumnSettings(mask={"changed": "redact"})}, 'The cursor "changed" of .* is masked'),
        ({"columns": ColumnSettings(mask={"Pin": "hash"})}, "TRANSHIP_MASK_KEY is not set"),
        ({"columns": ColumnSettings(rename={"Emial": "mail"})}, 'Emial.*They are named in the settings of .*Email'),
        ({"columns": ColumnSettings(rename={"Pin": "Email"})}, "Several columns of .* would be called Email"),
        ({"cursor": "Phone"}, r'The cursor "Phone" of .* is char\(2\)'),
        ({"cursor": "Changed"}, "Changed.*changed"),
        ({"chunk_column": "Email", "chunk_rows": 1}, '"Email" of .* cannot be the chunk_column'),
    ],
)  # fmt: skip
def test_settings_that_do_not_fit_the_table_are_refused_before_anything_is_written(
    origin: Callable[..., Origin], postgres: Place, settings: dict[str, Any], words: str
) -> None:
    made = of(origin(PEOPLE), postgres, **{"mode": Mode.MERGE, "cursor": "changed"} | settings)
    add_people(made.origin)
    with pytest.raises(Exception, match=words) as caught:
        made.load()
    assert type(caught.value).__name__ in {"ConfigurationError", "ColumnNotFoundError"}
    assert postgres.target.schema_of(made.plan.target) is None


def test_a_cursor_that_also_grows_with_changes_is_no_cursor_to_append_by(
    replica: Callable[..., Replica],
) -> None:
    made = replica(
        "create table {table} (id int primary key, version rowversion)",
        mode=Mode.APPEND,
        cursor="version",
    )
    with pytest.raises(
        ConfigurationError, match=r"which also grows when a row is changed. Set mode to merge"
    ):
        made.load()
