"""Rows that are gone from the source: ignored, marked, unmarked when they return, or removed."""

from collections.abc import Callable
from typing import Any

import pyarrow as pa
import pytest
from tests.integration.replication.conftest import KEYLESS, Meanwhile, Origin, Place, Replica, of

from tranship.errors import ConfigurationError
from tranship.frames import Batches
from tranship.own_tables import keys_table
from tranship.replication.config import ColumnSettings
from tranship.replication.deletions import DeleteDetection, DeletionsStoppedError, DetectedDeletes
from tranship.replication.plan import Mode, OnDelete
from tranship.slices import WholeTable
from tranship.sqlserver.source import SqlServerSource
from tranship.tables import TableName

BY_TIME = {"mode": Mode.MERGE, "cursor": "changed"}


def marks(made: Replica) -> dict[int, bool]:
    rows = made.place.rows("select id, _deleted_at is not null from {}", made.plan.target)
    return dict(rows)


def test_gone_rows_stay_where_deletions_are_ignored(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME)
    made.origin.add(1, 2, 3)
    assert made.load().deletes is None
    made.origin.run("delete from {table} where id = 2")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (2,), (3,)]


def test_gone_rows_are_removed(origin: Callable[..., Origin], place: Place) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    assert made.load().deletes == DetectedDeletes(keys=3, rows=0)
    made.origin.run("delete from {table} where id = 2")
    assert made.load().deletes == DetectedDeletes(keys=2, rows=1)
    made.assert_equal()


def test_gone_rows_are_marked_once_and_unmarked_when_they_return(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.MARK, lookback=0)
    made.origin.add(1, 2, 3, changed="2024-01-01")
    made.origin.add(4, changed="2024-01-02")
    made.load()
    made.origin.run("delete from {table} where id in (2, 3)")
    assert made.load().deletes == DetectedDeletes(keys=2, rows=2)
    assert marks(made) == {1: False, 2: True, 3: True, 4: False}
    when = made.place.rows("select _deleted_at from {} where id = 2", made.plan.target)
    assert made.load().deletes == DetectedDeletes(keys=2, rows=0)
    assert made.place.rows("select _deleted_at from {} where id = 2", made.plan.target) == when
    # One comes back as it was, which only the keys tell; one comes back with a new time.
    made.origin.add(2, changed="2024-01-01")
    made.origin.add(3, changed="2024-01-03", name="again")
    assert made.load().deletes == DetectedDeletes(keys=4, rows=0, returned=1)
    assert marks(made) == {1: False, 2: False, 3: False, 4: False}
    made.assert_equal()


def test_an_emptied_source_empties_the_copy_only_where_the_run_allows_it(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, delete=OnDelete.REMOVE, delete_guard="100%")
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("delete from {table}")
    with pytest.raises(DeletionsStoppedError) as caught:
        made.load()
    assert str(caught.value) == (
        f"{made.plan.source} gave no key at all, and {made.plan.target} has 3 rows; none was removed. All else was "
        "loaded. If they were deleted on purpose, launch the load once with the configuration allow_deletes: true; "
        "if a load is to let more rows go as a rule, raise delete_guard."
    )
    assert len(made.copied()) == 3
    made.load(allow_deletes=True)
    assert made.copied() == []


COMPOSITE = """
    create table {table} (
        Region nvarchar(20) not null, No int not null, note nvarchar(20), changed datetime2(6) not null,
        primary key (Region, No)
    )
"""


@pytest.mark.parametrize(
    "columns",
    [
        ColumnSettings(),
        ColumnSettings(rename={"Region": "No", "No": "Region"}),
        ColumnSettings(mask={"Region": "hash"}, rename={"Region": "region_digest"}),
        ColumnSettings(mask={"No": "hash"}, cast={"Region": "nvarchar(max)"}),
    ],
    ids=["plain", "renamed crosswise", "hashed and renamed", "hashed and cast"],
)
def test_composite_keys_are_compared_as_they_arrive(
    origin: Callable[..., Origin], postgres: Place, columns: ColumnSettings
) -> None:
    made = of(origin(COMPOSITE), postgres, **BY_TIME, delete=OnDelete.REMOVE, columns=columns)
    insert = "insert into {table} values "
    made.origin.run(
        insert + "(N'north', 1, N'a', '2024-01-01'), (N'north', 2, N'b', '2024-01-01'), "
        "(N'süd', 1, N'c', '2024-01-01'), (N'süd', 2, N'd', '2024-01-01')"
    )
    made.load(mask_key="secret")
    made.origin.run(
        "delete from {table} where Region = N'north' and No = 2",
        insert + "(N'süd', 3, N'e', '2024-01-02')",
    )
    assert made.load(mask_key="secret").deletes == DetectedDeletes(keys=4, rows=1)
    assert sorted(made.copied("note")) == [("a",), ("c",), ("d",), ("e",)]


def test_rows_that_no_longer_meet_the_condition_count_as_gone(
    replica: Callable[..., Replica],
) -> None:
    made = replica(**BY_TIME, delete=OnDelete.REMOVE, where="amount < 1000")
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("update {table} set amount = 5000 where id = 2")
    made.load()
    assert sorted(made.copied("id")) == [(1,), (3,)]


def test_rows_with_null_in_the_key_are_not_taken_for_gone(replica: Callable[..., Replica]) -> None:
    made = replica(KEYLESS, mode=Mode.MERGE, key=("name",), delete=OnDelete.REMOVE)
    made.origin.add(1, 2)
    made.origin.run("update {table} set name = null where id = 2")
    made.load()
    made.assert_equal()


def test_a_table_with_the_longest_name_has_room_for_its_keys(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(), postgres, **BY_TIME, delete=OnDelete.REMOVE)
    made = made.changed(target=postgres.table("ü" * 31))
    made.origin.add(1, 2)
    made.load()
    made.origin.run("delete from {table} where id = 1")
    made.load()
    made.assert_equal()


def test_names_of_tables_of_keys_differ_as_their_tables_do() -> None:
    long = [TableName("s", "n" * 60 + end) for end in ("a", "b")]
    assert keys_table(TableName("s", "sales")) == TableName("s", "sales__keys")
    assert len({keys_table(table) for table in long}) == 2
    assert all(len(keys_table(table).name) <= 63 for table in long)


@pytest.mark.parametrize(
    "settings",
    [{"mode": Mode.MERGE}, {"mode": Mode.APPEND, "cursor": "id", "delete": OnDelete.MARK}],
)
def test_without_a_key_the_error_says_to_name_one(
    replica: Callable[..., Replica], settings: dict[str, Any]
) -> None:
    made = replica(KEYLESS, **settings)
    with pytest.raises(
        ConfigurationError, match=r"has no primary key, .* Name the key: key: \[id\]\."
    ):
        made.load()


# ---- how many may go ----


@pytest.mark.parametrize("policy", [OnDelete.REMOVE, OnDelete.MARK])
def test_more_than_a_share_never_goes_at_once(
    origin: Callable[..., Origin], place: Place, policy: OnDelete
) -> None:
    made = of(origin(), place, **BY_TIME, delete=policy)
    made.origin.add(*range(1, 31))
    made.load()
    made.origin.run("delete from {table} where id <= 7")
    with pytest.raises(DeletionsStoppedError) as caught:
        made.load()
    assert "7 of the 30 rows of" in str(caught.value)
    assert "(23.3%), and delete_guard is 20%" in str(caught.value)
    assert not caught.value.transient
    assert len(made.copied()) == 30
    assert made.changed(delete_guard="25%").load().deletes == DetectedDeletes(keys=23, rows=7)


def test_the_next_load_stops_as_well_until_it_is_allowed(replica: Callable[..., Replica]) -> None:
    made = replica(**BY_TIME, delete=OnDelete.MARK)
    made.origin.add(*range(1, 31))
    made.load()
    made.origin.run("delete from {table} where id <= 20")
    for _ in range(2):
        with pytest.raises(DeletionsStoppedError, match="none was marked"):
            made.load()
    assert made.load(allow_deletes=True).deletes == DetectedDeletes(keys=10, rows=20)
    # Rows that are marked count no more: of ten, one is gone.
    made.origin.run("delete from {table} where id = 30")
    assert made.load().deletes == DetectedDeletes(keys=9, rows=1)


def test_a_share_that_is_none_is_refused(replica: Callable[..., Replica]) -> None:
    with pytest.raises(ConfigurationError, match="Write 0% to 100%: 20%"):
        replica(**BY_TIME, delete=OnDelete.REMOVE, delete_guard="120%")


# ---- rows that one look does not show ----

KEY_TYPES = {
    "int": ("1", "2"),
    "bigint": ("-9223372036854775808", "2"),
    "decimal(9, 2)": ("1.10", "2.25"),
    "nvarchar(20)": ("N'süd'", "N'it''s %'"),
    "uniqueidentifier": (
        "'6f9619ff-8b86-d011-b42d-00c04fc964ff'",
        "'00000000-0000-0000-0000-00000000000a'",
    ),
    "date": ("'2024-01-01'", "'0001-01-01'"),
    "binary(4)": ("0x00000001", "0xffffffff"),
    "datetime2(7)": ("'2024-01-01T00:00:00.1234567'", "'2024-01-02T00:00:00'"),
    "datetime": ("'2024-01-01T00:00:00.997'", "'2024-01-02T00:00:00.333'"),
    "float": ("0.1", "1e300"),
}


@pytest.fixture
def misses(monkeypatch: pytest.MonkeyPatch) -> Callable[[Replica, str], None]:
    """The next scan of a table's keys passes over the rows that lie first."""

    def arm(made: Replica, what: str = "keys") -> None:
        read, done = SqlServerSource.read, list[int]()

        def missing(
            source: SqlServerSource, columns: Any, part: Any = None, **more: Any
        ) -> Batches:
            batches = read(source, columns, part, **more)
            is_scan = part is None or isinstance(part, WholeTable) or what == "rows"
            of_keys = tuple(columns) == source.key
            if done or not is_scan or of_keys is not (what == "keys"):
                return batches
            done.append(1)
            return Batches.of(batches.to_table().slice(1))

        monkeypatch.setattr(SqlServerSource, "read", missing)

    return arm


@pytest.mark.parametrize("kind", KEY_TYPES)
def test_a_row_that_the_first_look_misses_stays(
    origin: Callable[..., Origin], postgres: Place, misses: Callable[..., None], kind: str
) -> None:
    table = f"create table {{table}} (k {kind} not null primary key, changed datetime2(6))"
    made = of(origin(table), postgres, **BY_TIME, delete=OnDelete.REMOVE)
    values = ", ".join(f"({value}, '2024-01-01')" for value in KEY_TYPES[kind])
    made.origin.run(f"insert into {{table}} values {values}")
    made.load()
    misses(made)
    assert made.load().deletes == DetectedDeletes(keys=1, rows=0, missed=1)
    assert len(made.copied("k")) == 2


@pytest.mark.parametrize("policy", [OnDelete.REMOVE, OnDelete.MARK])
def test_of_rows_that_look_gone_only_those_go_that_are(
    origin: Callable[..., Origin], place: Place, misses: Callable[..., None], policy: OnDelete
) -> None:
    made = of(origin(), place, **BY_TIME, delete=policy)
    made.origin.add(1, 2, 3, 4)
    made.load()
    made.origin.run("delete from {table} where id = 2")
    misses(made)
    assert made.load().deletes == DetectedDeletes(keys=2, rows=1, missed=1)
    if policy is OnDelete.MARK:
        assert marks(made) == {1: False, 2: True, 3: False, 4: False}
    else:
        made.assert_equal()


@pytest.mark.parametrize(
    "columns", [ColumnSettings(), ColumnSettings(mask={"Region": "hash"})], ids=["plain", "hashed"]
)
def test_keys_of_several_columns_are_looked_at_twice(
    origin: Callable[..., Origin],
    postgres: Place,
    misses: Callable[..., None],
    columns: ColumnSettings,
) -> None:
    made = of(origin(COMPOSITE), postgres, **BY_TIME, delete=OnDelete.REMOVE, columns=columns)
    made.origin.run(
        "insert into {table} values (N'n', 1, N'a', '2024-01-01'), (N'n', 2, N'b', '2024-01-01'), "
        "(N's', 1, N'c', '2024-01-01')"
    )
    made.load(mask_key="secret")
    made.origin.run("delete from {table} where Region = N's'")
    misses(made)
    assert made.load(mask_key="secret").deletes == DetectedDeletes(keys=1, rows=1, missed=1)
    assert sorted(made.copied("note")) == [("a",), ("b",)]


def test_a_key_that_the_first_look_shows_twice_does_no_harm(
    origin: Callable[..., Origin], place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("delete from {table} where id = 2")
    read = SqlServerSource.read

    def doubled(source: SqlServerSource, columns: Any, *rest: Any, **more: Any) -> Batches:
        batches = read(source, columns, *rest, **more)
        if tuple(columns) != source.key:
            return batches
        rows = batches.to_table()
        return Batches.of(pa.concat_tables([rows, rows]).combine_chunks())

    monkeypatch.setattr(SqlServerSource, "read", doubled)
    report = made.load()
    assert report.deletes is not None
    assert report.deletes.rows == 1
    made.assert_equal()


def test_the_table_of_keys_follows_a_key_that_changes(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(), place, **BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    made.load()
    made = made.changed(key=("name",))
    made.load()
    made.origin.run("delete from {table} where id = 2")
    assert made.load().deletes == DetectedDeletes(keys=2, rows=1)
    made.assert_equal()


def test_two_comparisons_at_once_never_go_on_with_each_others_keys(
    replica: Callable[..., Replica], meanwhile: Meanwhile
) -> None:
    made = replica(**BY_TIME, delete=OnDelete.REMOVE)
    made.origin.add(1, 2, 3)
    made.load()
    made.origin.run("delete from {table} where id = 2")
    meanwhile.before(DeleteDetection, "_look_again", lambda: made.changed().load())
    made.load()
    made.assert_equal()


@pytest.mark.parametrize("policy", [OnDelete.REMOVE, OnDelete.MARK])
def test_a_row_that_an_earlier_read_missed_comes_back_with_the_next_load(
    origin: Callable[..., Origin], place: Place, misses: Callable[..., None], policy: OnDelete
) -> None:
    made = of(origin(), place, **BY_TIME, delete=policy, lookback=0)
    misses(made, "rows")
    made.origin.add(1, 2, 3, changed="2024-01-01")
    made.origin.add(4, changed="2024-01-02")
    report = made.load()
    made.assert_equal()
    made.place.rows("delete from {} where id = 1", made.plan.target)
    report = made.changed().load()
    assert report.deletes is not None
    assert report.deletes.brought_back == 1
    made.assert_equal()
