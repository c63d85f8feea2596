"""UNLOAD: the files it writes, their manifest, and what it refuses."""

import datetime as dt
import gzip
import json
from decimal import Decimal

import pytest

from .conftest import Database, Lake


@pytest.fixture
def table(database: Database) -> Database:
    database.run(
        """
        create table t (
            id int, big bigint, price decimal(18, 2), name varchar(20), at timestamp,
            zoned timestamptz, day date, ok boolean, more super, raw varbyte(4)
        )
        """
    )
    database.run(
        """
        insert into t values
            (1, 10, 1.50, 'a,"b"', '2024-02-29 12:00:00.25', '2024-02-29 12:00:00+02', '2024-02-29',
             true, json_parse('{"k": [1]}'), 'xy'),
            (2, null, null, '', null, null, null, false, null, null),
            (3, null, null, null, null, null, null, null, null, null)
        """
    )
    database.connection.commit()
    return database


def unload(database: Database, lake: Lake, schema: str, options: str, query: str = "") -> str:
    prefix = f"{schema}/out/"
    query = (query or "select * from t order by id").replace("'", "''")
    database.run(
        f"unload ('{query}') to 's3://{lake.bucket}/{prefix}' {lake.authorization} {options}"
    )
    return prefix


def test_parquet_keeps_types_nulls_and_empty_strings(table: Database, lake: Lake, schema):
    prefix = unload(table, lake, schema, "format as parquet parallel off")
    rows = lake.read_parquet(prefix)
    assert rows[0] == {
        "id": 1, "big": 10, "price": Decimal("1.50"), "name": 'a,"b"',
        "at": dt.datetime(2024, 2, 29, 12, 0, 0, 250000), "zoned": dt.datetime(2024, 2, 29, 10, 0),
        "day": dt.date(2024, 2, 29), "ok": True, "more": '{"k": [1]}', "raw": b"xy",
    }  # fmt: skip
    assert (rows[1]["name"], rows[1]["ok"], rows[2]["name"]) == ("", False, None)
    assert lake.keys(prefix) == [f"{prefix}000.parquet"]


def test_a_verbose_manifest_describes_files_and_schema(table: Database, lake: Lake, schema):
    prefix = unload(table, lake, schema, "parquet manifest verbose")
    manifest = json.loads(lake.get(f"{prefix}manifest"))
    urls = [entry["url"] for entry in manifest["entries"]]
    assert urls == [
        f"s3://{lake.bucket}/{key}" for key in lake.keys(prefix) if key.endswith("parquet")
    ]
    sizes = [len(lake.get(url.removeprefix(f"s3://{lake.bucket}/"))) for url in urls]
    assert [entry["meta"]["content_length"] for entry in manifest["entries"]] == sizes
    assert manifest["meta"]["record_count"] == 3
    elements = {e["name"]: e["type"] for e in manifest["schema"]["elements"]}
    assert elements["price"] == {"base": "numeric", "precision": 18, "scale": 2}
    assert elements["name"] == {"base": "character varying", "max_length": 20}


def test_what_was_unloaded_can_be_copied_back(table: Database, lake: Lake, schema):
    columns = "id, big, price, name, at, day, ok"
    prefix = unload(table, lake, schema, "parquet manifest", f"select {columns} from t")
    table.run(
        "create table back (id int, big bigint, price decimal(18, 2), name varchar(20),"
        " at timestamp, day date, ok boolean)"
    )
    url = f"s3://{lake.bucket}/{prefix}manifest"
    table.run(f"copy back from '{url}' {lake.authorization} format parquet manifest")
    assert table.run("select * from back order by id") == table.run(
        f"select {columns} from t order by id"
    )


@pytest.mark.parametrize("name", ["name", "more"])
def test_a_column_alone_keeps_its_nulls(table: Database, lake: Lake, schema, name):
    query = f"select {name} from t order by id"
    prefix = unload(table, lake, schema, "parquet manifest verbose parallel off", query)
    found = [row[name] for row in lake.read_parquet(prefix)]
    assert found == {"name": ['a,"b"', "", None], "more": ['{"k": [1]}', None, None]}[name]
    assert json.loads(lake.get(f"{prefix}manifest"))["meta"]["record_count"] == 3


def test_nothing_but_nulls_is_unloaded(table: Database, lake: Lake, schema):
    prefix = unload(table, lake, schema, "parquet parallel off", "select big from t where id > 1")
    assert lake.read_parquet(prefix) == [{"big": None}, {"big": None}]


def test_csv_with_header_and_gzip(table: Database, lake: Lake, schema):
    options = "csv header gzip parallel off"
    prefix = unload(table, lake, schema, options, "select id, name, ok from t order by id")
    (key,) = lake.keys(prefix)
    assert key.endswith("000.gz")
    body = gzip.decompress(lake.get(key)).decode()
    assert body == 'id,name,ok\n1,"a,""b""",t\n2,"",f\n3,,\n'


def test_delimited_text_with_quotes(table: Database, lake: Lake, schema):
    options = "delimiter '|' addquotes null 'NULL' parallel off"
    prefix = unload(table, lake, schema, options, "select id, name from t order by id")
    assert lake.get(lake.keys(prefix)[0]).decode() == '"1"|"a,""b"""\n"2"|""\n"3"|NULL\n'


def test_partitions_become_folders(table: Database, lake: Lake, schema):
    query = "select id, ok, day from t"
    prefix = unload(table, lake, schema, "parquet partition by (ok, day)", query)
    found = sorted(key.removeprefix(prefix).rsplit("/", 1)[0] for key in lake.keys(prefix))
    null = "__HIVE_DEFAULT_PARTITION__"
    assert found == [f"ok={null}/day={null}", f"ok=false/day={null}", "ok=true/day=2024-02-29"]
    assert sorted(map(str, lake.read_parquet(prefix))) == ["{'id': 1}", "{'id': 2}", "{'id': 3}"]


def test_a_file_is_closed_at_maxfilesize(database: Database, lake: Lake, schema):
    database.run("create table t (id int, v varchar(40))")
    database.run(
        "insert into t with recursive g (n) as (select 1 union all select n + 1 from g where n < 300000)"
        " select n, md5(n::varchar) || 'abcd' from g"
    )
    query = "select * from t order by id"
    prefix = unload(database, lake, schema, "csv parallel off maxfilesize 5 mb", query)
    keys = lake.keys(prefix)
    assert [key.removeprefix(prefix) for key in keys] == ["000", "001", "002"]
    bodies = [lake.get(key) for key in keys]
    assert max(map(len, bodies)) < 6 * 1024 * 1024
    lines = b"".join(bodies).splitlines()
    assert [int(line.split(b",")[0]) for line in lines] == list(range(1, 300_001))


def test_a_target_in_use_is_refused_unless_told_otherwise(table: Database, lake: Lake, schema):
    lake.put(f"{schema}/out/stale", b"x")
    table.connection.commit()
    select = f"unload ('select id from t') to 's3://{lake.bucket}/{schema}/out/' "
    error = table.refusal(select + lake.authorization + " parquet")
    assert error.pgcode == "XX000"
    assert "Specified unload destination on S3 is not empty." in str(error)
    unload(table, lake, schema, "parquet allowoverwrite parallel off", "select id from t")
    assert f"{schema}/out/stale" in lake.keys(f"{schema}/out/")
    unload(table, lake, schema, "parquet cleanpath parallel off", "select id from t")
    assert lake.keys(f"{schema}/out/") == [f"{schema}/out/000.parquet"]


@pytest.mark.parametrize(
    ("query", "options", "code", "text"),
    [
        ("select id from t limit 1", "parquet", "0A000", "Limit clause is not supported"),
        ("delete from t", "parquet", "42601", 'syntax error at or near "DELETE"'),
        ("select nope from t", "parquet", "42703", "does not exist"),
        ("select 1", "parquet gzip", "0A000", "GZIP argument is not supported for PARQUET"),
        ("select 1", "parquet allowoverwrite cleanpath", "0A000", "cannot be specified together"),
        ("select 1", "parquet maxfilesize 1 mb", "22023", "MAXFILESIZE must be between"),
        ("select 1", "csv zstd", "0A000", "ZSTD is not supported by the stand-in"),
        ("select 1", "parquet nonsense", "42601", 'syntax error at or near "nonsense"'),
    ],
)
def test_unload_is_refused_in_redshifts_words(table, lake, schema, query, options, code, text):
    target = f"s3://{lake.bucket}/{schema}/refused/"
    error = table.refusal(f"unload ('{query}') to '{target}' {lake.authorization} {options}")
    assert (error.pgcode, text in str(error)) == (code, True), str(error)


def test_a_limit_inside_a_subquery_is_allowed(table: Database, lake: Lake, schema):
    query = "select id from (select id from t order by id limit 2) as q"
    prefix = unload(table, lake, schema, "parquet", query)
    assert sorted(row["id"] for row in lake.read_parquet(prefix)) == [1, 2]


def test_uncommitted_rows_of_the_same_transaction_are_unloaded(table, lake: Lake, schema):
    table.run("insert into t (id) values (4)")
    prefix = unload(table, lake, schema, "parquet", "select id from t")
    assert sorted(row["id"] for row in lake.read_parquet(prefix)) == [1, 2, 3, 4]
    assert table.run("select pg_last_unload_count()") == [(4,)]


def test_no_rows_make_no_parquet_file(table: Database, lake: Lake, schema):
    prefix = unload(table, lake, schema, "parquet manifest", "select id from t where id < 0")
    assert lake.keys(prefix) == [f"{prefix}manifest"]
    assert json.loads(lake.get(f"{prefix}manifest")) == {"entries": []}


def test_computed_numbers_keep_their_digits(table: Database, lake: Lake, schema):
    prefix = unload(table, lake, schema, "parquet", "select sum(price) as s, sum(big) as b from t")
    assert lake.read_parquet(prefix) == [{"s": Decimal("1.50"), "b": Decimal(10)}]
