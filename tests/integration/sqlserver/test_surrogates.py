"""Half a UTF-16 pair never becomes U+FFFD unsaid; a U+FFFD that the source holds stays what it is."""

from collections.abc import Iterator
from dataclasses import replace

import pytest
from rewriting_proxy import rewriting_proxy

from tranship.errors import ValueDoesNotFitError
from tranship.reads import OnSurrogate, ReadRequest
from tranship.slices import KeyRange
from tranship.sqlserver.options import ReadOptions
from tranship.sqlserver.reader import read
from tranship.sqlserver.settings import SqlServerSettings

# The stand-in cannot store half a pair, so a character of the private use area becomes one on the wire.
PRIVATE = "\ue123"
HALVES = {"high": b"\x3d\xd8", "low": b"\x00\xdc"}


@pytest.fixture(params=HALVES)
def halving(
    request: pytest.FixtureRequest, settings: SqlServerSettings
) -> Iterator[SqlServerSettings]:
    """The server behind a proxy that makes half a pair of U+E123."""
    with rewriting_proxy(
        settings.host, settings.port, PRIVATE.encode("utf-16-le"), HALVES[request.param]
    ) as port:
        yield replace(settings, port=port)


@pytest.mark.parametrize("type_", ["nvarchar(20)", "nvarchar(max)", "nchar(3)"])
def test_half_a_pair_is_refused_with_its_column_and_row(halving, table, type_):
    name = table(
        f"create table {{table}} (Id int not null primary key, V {type_})",
        f"insert into {{table}} values (1, N'abc'), (2, N'x{PRIVATE}y'), (3, N'x\ufffdy')",
    )
    batches = read(halving, ReadRequest(name), ReadOptions(order_by=("Id",)))

    with pytest.raises(ValueDoesNotFitError) as caught:
        batches.to_table()

    assert str(caught.value) == (
        f'The column "V" of {name} holds half of a UTF-16 pair (a lone surrogate), which is no character: '
        "U+FFFD came in its place 1 times, the first in or after row 2 of the result. "
        'Set on_surrogate to "replace" to load U+FFFD in its place, or mend the row in the source.'
    )


def test_half_a_pair_is_replaced_where_that_was_said(halving, table):
    name = table(
        "create table {table} (Id int not null primary key, V nvarchar(20))",
        f"insert into {{table}} values (1, N'abc'), (2, N'x{PRIVATE}y')",
    )
    options = ReadOptions(order_by=("Id",), on_surrogate=OnSurrogate.REPLACE)

    assert read(halving, ReadRequest(name), options).to_table()["V"].to_pylist() == [
        "abc",
        "x\ufffdy",
    ]


@pytest.mark.parametrize("parts", [1, 3])
def test_the_character_that_stands_for_it_is_a_character(settings, table, parts):
    texts = ["\ufffd", " \ufffd\ufffd ", "😀", "abc", None, ""]
    values = ["null" if text is None else f"N'{text}'" for text in texts]
    rows = ", ".join(f"({number}, {value})" for number, value in enumerate(values))
    name = table(
        "create table {table} (Id int not null primary key, V nvarchar(20))",
        f"insert into {{table}} values {rows}",
    )

    found = read(settings, ReadRequest(name), ReadOptions(parts=parts)).to_table().sort_by("Id")
    assert found["V"].to_pylist() == texts
    some = read(settings, ReadRequest(name, KeyRange("Id", 1, 3))).to_table()
    assert set(some["V"].to_pylist()) == set(texts[1:3])
