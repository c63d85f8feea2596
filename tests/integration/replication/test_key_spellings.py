"""Keys that the source takes for the same in another spelling: one row in the copy, in the source's spelling."""

from collections.abc import Callable
from contextlib import closing
from typing import Any

import pytest
from psycopg2 import sql
from statements import rows_of
from tests.integration.replication.conftest import Origin, Place, Replica, of

from tranship.errors import (
    ConfigurationError,
    KeyNotComparableError,
    RowsOutsideSliceError,
    WriteFailedError,
)
from tranship.pgsql.keys import fold
from tranship.replication.columns import column_changes
from tranship.replication.config import ColumnSettings, PartitionSettings
from tranship.replication.deletions import DetectedDeletes
from tranship.replication.plan import KeyComparison, Mode, OnDelete
from tranship.replication.verification import Verification
from tranship.slices import Values
from tranship.sqlserver.collations import equality_of
from tranship.tables import SourceType

CODES = """
    create table {table} (
        code nvarchar(20) not null primary key, note nvarchar(20), changed datetime2(6) not null
    )
"""
BY_TIME: dict[str, Any] = {"mode": Mode.MERGE, "cursor": "changed", "lookback": 0}
DELETES = pytest.mark.parametrize("delete", list(OnDelete))


def add(origin: Origin, *codes: str, changed: str = "2024-01-01") -> None:
    values = ", ".join(f"(N'{code}', N'a', '{changed}')" for code in codes)
    origin.run(f"insert into {{table}} (code, note, changed) values {values}")


def respell(origin: Origin, old: str, new: str, changed: str | None = None) -> None:
    moved = f", changed = '{changed}'" if changed else ""
    origin.run(f"update {{table}} set code = N'{new}', note = N'b'{moved} where code = N'{old}'")


@DELETES
@pytest.mark.parametrize("new", ["ABC", "abc ", "Abc  "])
def test_a_key_in_another_spelling_is_the_same_row(
    origin: Callable[..., Origin], place: Place, delete: OnDelete, new: str
) -> None:
    made = of(origin(CODES), place, **BY_TIME, delete=delete)
    add(made.origin, "abc", "xyz")
    made.load()
    respell(made.origin, "abc", new, changed="2024-01-02")
    deletes = made.load().deletes
    assert deletes in {None, DetectedDeletes(keys=2, rows=0)}
    made.assert_equal("code, note")
    made.load()
    made.assert_equal("code, note")


@pytest.mark.parametrize("delete", [OnDelete.REMOVE, OnDelete.MARK])
def test_a_key_that_is_respelled_behind_the_bookmark_is_neither_removed_nor_marked(
    origin: Callable[..., Origin], place: Place, delete: OnDelete
) -> None:
    made = of(origin(CODES), place, **BY_TIME, delete=delete)
    add(made.origin, "abc")
    add(made.origin, "xyz", changed="2024-01-03")
    made.load()
    respell(made.origin, "abc", "ABC ")
    assert made.load().deletes == DetectedDeletes(keys=2, rows=0)
    assert sorted(made.copied("code")) == [("ABC ",), ("xyz",)]
    if delete is OnDelete.MARK:
        assert (
            made.place.rows("select 1 from {} where _deleted_at is not null", made.plan.target)
            == []
        )


def test_both_spellings_of_a_copy_that_compared_bytes_become_one(
    origin: Callable[..., Origin], place: Place
) -> None:
    by_bytes = of(origin(CODES), place, **BY_TIME, key_comparison=KeyComparison.BYTES)
    add(by_bytes.origin, "abc")
    by_bytes.load()
    respell(by_bytes.origin, "abc", "ABC", changed="2024-01-02")
    by_bytes.load()
    assert sorted(by_bytes.copied("code")) == [("ABC",), ("abc",)]
    made = by_bytes.changed(key_comparison=KeyComparison.SOURCE)
    assert made.load().what == (
        "the whole table, because the key column code is compared by SQL_Latin1_General_CP1_CI_AS now, and was "
        "by bytes"
    )
    made.assert_equal("code, note")


def test_two_rows_of_one_load_with_one_key_in_two_spellings_are_refused(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(CODES.replace(" primary key", "")), place, **BY_TIME, key=("code",))
    add(made.origin, "xyz")
    made.load()
    add(made.origin, "abc", "ABC", changed="2024-01-02")
    with pytest.raises(WriteFailedError, match=r"code.*ABC"):
        made.load()
    assert made.copied("code") == [("xyz",)]


@pytest.mark.parametrize("value", ["Straße", "日本語ー", "a😀", "fi\u00ad"])
def test_a_key_of_which_it_is_not_known_what_it_equals_is_refused_with_the_cure(
    origin: Callable[..., Origin], postgres: Place, value: str
) -> None:
    made = of(origin(CODES), postgres, **BY_TIME)
    add(made.origin, "abc", value)
    with pytest.raises(KeyNotComparableError) as caught:
        made.load()
    said = str(caught.value)
    assert '"code"' in said
    assert repr(value) in said
    assert "SQL_Latin1_General_CP1_CI_AS" in said
    assert "mode: replace" in said
    assert made.place.target.schema_of(made.plan.target) is None
    told_apart_by_bytes = made.changed(key_comparison=KeyComparison.BYTES)
    told_apart_by_bytes.load()
    told_apart_by_bytes.assert_equal("code, note")


@pytest.mark.parametrize("mask", [{"code": "hash"}, {}])
def test_letters_with_marks_are_compared_without_case_too(
    origin: Callable[..., Origin], place: Place, mask: dict[str, Any]
) -> None:
    made = of(
        origin(CODES), place, **BY_TIME, delete=OnDelete.REMOVE, columns=ColumnSettings(mask=mask)
    )
    add(made.origin, "Öl-ä", "öl-a", "ол")
    made.load(mask_key="secret")
    respell(made.origin, "Öl-ä", "ÖL-Ä ", changed="2024-01-02")
    respell(made.origin, "ол", "ОЛ", changed="2024-01-02")
    assert made.load(mask_key="secret").deletes == DetectedDeletes(keys=3, rows=0)
    assert sorted(made.copied("note")) == [("a",), ("b",), ("b",)]


def test_a_key_that_is_cast_to_what_is_no_text_is_refused(
    replica: Callable[..., Replica],
) -> None:
    made = replica(CODES, **BY_TIME, columns=ColumnSettings(cast={"code": "varbinary(40)"}))
    with pytest.raises(ConfigurationError, match=r'"code" of .* is cast to varbinary'):
        made.load()


def test_the_check_of_the_key_finds_one_key_in_two_spellings(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(origin(CODES), place, **BY_TIME)
    add(made.origin, "abc")
    made.load()
    made.place.rows(
        "insert into {} (code, note, changed) values ('ABC ', 'x', '2024-01-01')", made.plan.target
    )
    bookmark = made.bookmark
    assert bookmark is not None
    finding = Verification(
        made.plan,
        made.source,
        made.place.target,
        column_changes(made.plan, made.source.schema, None),
        bookmark,
    ).unique_key(("code",))
    assert not finding.passed
    assert finding.description == "1 keys (code) come more than once, in 2 rows."


def test_the_check_of_the_key_finds_bytes_that_differ_by_zeros_at_their_end(
    origin: Callable[..., Origin], place: Place
) -> None:
    made = of(
        origin(CODES.replace("nvarchar(20) not null", "varbinary(20) not null", 1)),
        place,
        **BY_TIME,
    )
    made.origin.run(
        "insert into {table} (code, note, changed) values (0x41, N'a', '2024-01-01'), (0x00A0, N'b', '2024-01-01')"
    )
    made.load()
    assert check_of_key(made) == (True, "No key (code) comes twice.")
    # To SQL Server it is the same key; the stand-in has it as another one.
    made.origin.run("update {table} set code = 0x410000, changed = '2024-01-02' where code = 0x41")
    made.load()
    assert check_of_key(made) == (False, "1 keys (code) come more than once, in 2 rows.")


def check_of_key(made: Replica) -> tuple[bool, str]:
    bookmark = made.bookmark
    assert bookmark is not None
    changes = column_changes(made.plan, made.source.schema, None)
    target = made.place.target
    found = Verification(made.plan, made.source, target, changes, bookmark).unique_key(("code",))
    return found.passed, found.description


def test_a_database_that_takes_any_case_for_one_is_no_place_to_merge_texts_in(
    origin: Callable[..., Origin], redshift: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = of(origin(CODES), redshift, **BY_TIME)
    add(made.origin, "abc")
    made.load()
    # No stand-in has such a database.
    monkeypatch.setattr(
        "tranship.redshift.catalogue.database_collation", lambda _: "case_insensitive"
    )
    add(made.origin, "abd", changed="2024-01-02")
    with pytest.raises(
        ConfigurationError, match="was created with collate case_insensitive: keys of code"
    ):
        made.load()
    assert made.copied("code") == [("abc",)]


def test_a_merge_finds_other_spellings_by_an_index(
    origin: Callable[..., Origin], postgres: Place
) -> None:
    made = of(origin(CODES), postgres, **BY_TIME)
    add(made.origin, "abc")
    made.load()
    for round_ in (2, 3):
        add(made.origin, f"n{round_}", changed=f"2024-01-0{round_}")
        made.load()
    indexes = made.place.rows(
        "select count(*) from pg_indexes where indexname like 'tranship_key_%' and schemaname = "
        f"'{postgres.schema}' and '{{}}' <> ''",
        made.plan.target,
    )
    assert indexes == [(1,)]


@pytest.mark.parametrize(
    "collation", ["Latin1_General_CI_AS", "Latin1_General_CI_AI", "Latin1_General_CS_AI_KS", "Latin1_General_BIN2"]
)  # fmt: skip
def test_a_target_folds_texts_as_the_library_does(place: Place, collation: str) -> None:
    rule = equality_of(collation, SourceType("nvarchar", length=20))
    assert rule is not None
    texts = [
        "",
        " ",
        "aZ-9  ",
        "Öl",
        "ÀÉÑ",
        "Ÿž",
        "ЯЁя",
        "\uff21\uff13",
        "あア",
        "ガ",
        "漢字",
        "힣",
        " x",
    ]
    # Redshift has VALUES only in INSERT: https://docs.aws.amazon.com/redshift/latest/dg/c_unsupported-postgresql-features.html
    values = " union all ".join(f"select cast('{text}' as varchar(20)) as x" for text in texts)
    folded = fold(sql.SQL("x"), rule, place.target.lower)
    with closing(place.connect()) as connection:
        connection.autocommit = True
        rows = rows_of(connection, sql.SQL(f"select x, {{}} from ({values}) v").format(folded))
    assert dict(rows) == {text: rule.fold(text) for text in texts}


def under(collation: str) -> str:
    return CODES.replace("nvarchar(20) not null", f"nvarchar(20) collate {collation} not null", 1)


@pytest.mark.parametrize(
    ("collation", "old", "new"),
    [
        ("Latin1_General_CI_AI", "resume", "Résumé"),
        ("Latin1_General_100_CI_AS_SC", "A1", "\uff21\uff11"),
        ("Japanese_CI_AS", "あか", "アカ"),
        ("Latin1_General_CS_AS", "abc", "abc "),
        ("Latin1_General_BIN2", "abc", "abc "),
    ],
)
def test_each_collation_says_what_another_spelling_is(
    origin: Callable[..., Origin], place: Place, collation: str, old: str, new: str
) -> None:
    made = of(origin(under(collation)), place, **BY_TIME, delete=OnDelete.REMOVE)
    add(made.origin, old, "xyz")
    made.load()
    respell(made.origin, old, new, changed="2024-01-02")
    assert made.load().deletes == DetectedDeletes(keys=2, rows=0)
    made.assert_equal("code, note")


@pytest.mark.parametrize(
    ("collation", "one", "other"),
    [
        ("Latin1_General_CS_AS", "abc", "ABC"),
        ("Latin1_General_CI_AS", "resume", "résumé"),
        ("Japanese_CI_AS_KS", "あか", "アカ"),
        ("Latin1_General_BIN2", "é", "e\u0301"),
    ],
)
def test_what_a_collation_tells_apart_stays_apart(
    origin: Callable[..., Origin], place: Place, collation: str, one: str, other: str
) -> None:
    made = of(origin(under(collation)), place, **BY_TIME, delete=OnDelete.REMOVE)
    add(made.origin, one, other)
    made.load()
    made.origin.run(
        f"update {{table}} set note = N'b', changed = '2024-01-02' where code = N'{one}'"
    )
    assert made.load().deletes == DetectedDeletes(keys=2, rows=0)
    made.assert_equal("code, note")


def test_another_collation_of_the_key_is_a_full_load_that_says_so(
    replica: Callable[..., Replica],
) -> None:
    made = replica(
        under("Latin1_General_CS_AS").replace(" primary key", ""), **BY_TIME, key=("code",)
    )
    add(made.origin, "abc")
    made.load()
    made.origin.run(
        "alter table {table} alter column code nvarchar(20) collate Latin1_General_CI_AS not null"
    )
    assert made.changed().load().what == (
        "the whole table, because the key column code is compared by Latin1_General_CI_AS now, and was by "
        "Latin1_General_CS_AS"
    )


@pytest.mark.parametrize("other", ["NORTH", "north  "])
def test_a_partition_of_texts_that_are_spelled_otherwise_is_refused_with_the_cure(
    origin: Callable[..., Origin], place: Place, other: str
) -> None:
    by_code = PartitionSettings(column="code", values=["north"])
    keyless = CODES.replace(" primary key", "")
    made = of(origin(keyless), place, mode=Mode.PARTITION, partitions=by_code)
    add(made.origin, "north")
    made.load(partitions=lambda name: Values(name, ("north",)))
    add(made.origin, other)
    with pytest.raises(RowsOutsideSliceError, match="SQL_Latin1_General_CP1_CI_AS") as caught:
        made.load(partitions=lambda name: Values(name, ("north",)))
    assert repr(other) in str(caught.value)
    assert str(caught.value).endswith("or set mode to replace or merge.")
    assert made.copied("code") == [("north",)]
