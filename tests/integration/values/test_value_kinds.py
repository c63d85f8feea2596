"""Every kind of value that the table in docs/types.md has comes back from both targets as it was."""

import json
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redshift_places import own_schema, settings_of
from value_kinds import EXACT, Kind, frame

from tranship.frames import Batches
from tranship.postgres import reader as postgres_reader
from tranship.postgres import writer as postgres_writer
from tranship.postgres.settings import PostgresSettings
from tranship.reads import ReadRequest
from tranship.redshift import reader as redshift_reader
from tranship.redshift import writer as redshift_writer
from tranship.tables import TableName
from tranship.writes import WriteRequest

LIBRARIES = ("pandas", "polars", "pyarrow")
SLOWLY = settings(
    max_examples=2, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def drawn(data: st.DataObject, kinds: list[Kind]) -> dict[str, list[Any]]:
    """For each kind its edges, some other values, and nulls; all of one length."""
    columns = {
        kind.name: [*kind.edges, *data.draw(st.lists(st.none() | kind.values, max_size=5))]
        for kind in kinds
    }
    length = max(map(len, columns.values())) + 1
    return {name: values + [None] * (length - len(values)) for name, values in columns.items()}


def compared(value: Any) -> Any:
    """JSON as what it says; a value of anything else with its sign."""
    if isinstance(value, str) and value[:1] in {"[", "{"}:
        return json.dumps(json.loads(value), sort_keys=True)
    return repr(value) if isinstance(value, float) else value


def held(library: str, kinds: list[Kind], values: dict[str, list[Any]]) -> Any:
    columns = {kind.name: kind.held[library].column(values[kind.name]) for kind in kinds}
    length = len(next(iter(values.values())))
    return frame(library, {"id": list(range(length)), **columns})


@pytest.mark.parametrize("library", LIBRARIES)
@SLOWLY
@given(data=st.data())
def test_values_come_back_from_postgres_as_they_were(
    postgres_url: str, postgres_schema: str, library: str, data: st.DataObject
) -> None:
    place = PostgresSettings.from_url(postgres_url)
    kinds = [kind for kind in EXACT if library in kind.held]
    values = drawn(data, kinds)
    request = WriteRequest(TableName(postgres_schema, f"kinds_{library}"))

    for _ in range(2):
        postgres_writer.write(place, request, Batches.of(held(library, kinds, values)))
    found = postgres_reader.read(place, ReadRequest(request.table)).to_table().sort_by("id")

    for kind in kinds:
        if kind.postgres == "interval":
            assert [_span(text) for text in found[kind.name].to_pylist()] == values[kind.name]
            continue
        expected = [None if one is None else kind.read_postgres(one) for one in values[kind.name]]
        assert list(map(compared, found[kind.name].to_pylist())) == list(map(compared, expected)), (
            kind.name
        )


@pytest.mark.parametrize("library", LIBRARIES)
@SLOWLY
@given(data=st.data())
def test_values_come_back_from_redshift_as_they_were(
    redshift_url: str,
    bucket: str,
    iam_role: str,
    s3_endpoint: str,
    library: str,
    data: st.DataObject,
) -> None:
    place = settings_of(redshift_url, bucket, iam_role, s3_endpoint)
    kinds = [kind for kind in EXACT if library in kind.held and kind.redshift is not None]
    values = drawn(data, kinds)

    with own_schema(place) as database:
        request = WriteRequest(database.table("kinds"))
        for _ in range(2):
            redshift_writer.write(place, request, Batches.of(held(library, kinds, values)))
        found = redshift_reader.read(place, ReadRequest(request.table)).to_table().sort_by("id")

    for kind in kinds:
        expected = [None if one is None else kind.read_redshift(one) for one in values[kind.name]]
        got = found[kind.name.lower()].to_pylist()
        assert list(map(compared, got)) == list(map(compared, expected)), kind.name


def _span(text: str | None) -> timedelta | None:
    """A span as Postgres prints it: `999 days 23:59:59.999999`."""
    if text is None:
        return None
    *days, clock = text.split(" ") if ":" in text else [*text.split(" "), "00:00:00"]
    hours, minutes, seconds = clock.split(":")
    whole, _, fraction = seconds.partition(".")
    return timedelta(
        days=int(days[0]) if days else 0,
        hours=int(hours),
        minutes=int(minutes),
        seconds=int(whole),
        microseconds=int(fraction.ljust(6, "0") or 0),
    )
