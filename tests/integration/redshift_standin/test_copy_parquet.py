"""COPY of Parquet: what Redshift takes, and what it refuses, with its words."""

import datetime as dt
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from .conftest import Database, Lake


def loaded(database: Database, lake: Lake, url: str, options: str = "") -> list[tuple]:
    database.run(f"copy t from '{url}' {lake.authorization} format as parquet {options}")
    return database.run("select * from t order by 1")


def test_every_type_arrives_exactly(database: Database, lake: Lake, schema):
    database.run(
        """
        create table t (
            a smallint, b int, c bigint, d decimal(18, 2), e decimal(38, 10), f real, g float8,
            h boolean, i date, j timestamp, k timestamptz, l varchar(20), m char(4), n super,
            o varbyte(10), p time
        )
        """
    )
    moment = dt.datetime(2024, 2, 29, 12, 30, 0, 123456)
    columns = [
        ("a", pa.int16(), -(2**15)), ("b", pa.int32(), 2**31 - 1), ("c", pa.int64(), -(2**63)),
        ("d", pa.decimal128(18, 2), Decimal("-1234567890123456.78")),
        ("e", pa.decimal128(38, 10), Decimal("1234567890123456789012345678.0123456789")),
        ("f", pa.float32(), 0.5), ("g", pa.float64(), 0.1), ("h", pa.bool_(), True),
        ("i", pa.date32(), dt.date(1900, 1, 1)), ("j", pa.timestamp("us"), moment),
        ("k", pa.timestamp("us", "UTC"), moment.replace(tzinfo=dt.UTC)),
        ("l", pa.string(), "çedilla, \"quoted\"\n\\"), ("m", pa.string(), "ab"),
        ("n", pa.string(), 'say "x"'), ("o", pa.binary(), b"\x00\xff"),
        ("p", pa.time64("us"), dt.time(23, 59, 59, 999999)),
    ]  # fmt: skip
    arrays = [pa.array([value, None], kind) for _, kind, value in columns]
    table = pa.Table.from_arrays(arrays, names=[name for name, _, _ in columns])
    rows = loaded(database, lake, lake.put_parquet(f"{schema}/t", table))
    first = list(rows[0])
    assert first[12] == "ab  "
    assert first[13] == '"say \\"x\\""'
    assert bytes.fromhex(first[14].removeprefix("\\x")) == b"\x00\xff"
    del first[12:15]
    assert first == [value for name, _, value in columns if name not in "mno"]
    assert rows[1] == (None,) * len(columns)


def two(**columns: Any) -> pa.Table:
    return pa.table(columns)


def test_columns_go_by_position_and_a_column_list_reorders(database, lake: Lake, schema):
    database.run("create table t (id int, name varchar(5), extra int default 7)")
    table = two(wrong=["a"], names=pa.array([1], pa.int32()))
    url = lake.put_parquet(f"{schema}/t", table)
    database.run(f"copy t (name, id) from '{url}' {lake.authorization} format parquet")
    assert database.run("select * from t") == [(1, "a", 7)]


def test_a_manifest_loads_its_files_only_and_a_prefix_loads_neighbours(database, lake, schema):
    database.run("create table t (id int)")
    database.connection.commit()
    urls = [
        lake.put_parquet(f"{schema}/k/{n}", two(id=pa.array([n], pa.int32()))) for n in (1, 10, 2)
    ]
    assert loaded(database, lake, f"s3://{lake.bucket}/{schema}/k/1") == [(1,), (10,)]
    database.connection.rollback()
    manifest = lake.put_manifest(f"{schema}/m", urls[0], urls[2])
    assert loaded(database, lake, manifest, "manifest") == [(1,), (2,)]


def test_the_load_belongs_to_the_transaction(database, connect, lake: Lake, schema):
    database.run("create table t (id int)")
    database.run("insert into t values (5)")
    database.connection.commit()
    url = lake.put_parquet(f"{schema}/t", two(id=pa.array([1], pa.int32())))
    database.run("delete from t")
    assert loaded(database, lake, url) == [(1,)]
    other = Database(connect())
    assert other.run("select * from t") == [(5,)]
    database.connection.commit()
    other.connection.rollback()
    assert other.run("select * from t") == [(1,)]


@pytest.mark.parametrize(
    ("column", "array", "code", "part"),
    [
        ("int", pa.array([1], pa.int64()), 15001, "Column type: INT, Parquet schema:\noptional int64"),
        ("bigint", pa.array([1], pa.int32()), 15001, "Column type: BIGINT"),
        ("smallint", pa.array([1], pa.int32()), 15001, "Column type: SMALLINT"),
        ("varchar(9)", pa.array([1], pa.int32()), 15001, "Column type: VARCHAR(9)"),
        ("date", pa.array(["2024-01-01"]), 15001, "Column type: DATE"),
        ("float8", pa.array([1.0], pa.float32()), 15001, "incompatible Parquet schema"),
        ("decimal(18,2)", pa.array([Decimal("1.00")], pa.decimal128(38, 2)), 15001,
         "invalid type length. Expecting: 8 len in file: 16"),
        ("decimal(18,2)", pa.array([Decimal("1.000")], pa.decimal128(18, 3)), 15001, "DECIMAL(18,2)"),
        ("timestamp", pa.array([1], pa.timestamp("ns")), 15001, "nanoseconds are misread"),
        ("super", pa.array([[1, 2]]), 15001, "Column type: SUPER"),
        ("varchar(4)", pa.array(["äöü"]), 15001, "Table: 4, Data: 6, File name: https://s3"),
        ("int not null", pa.array([None], pa.int32()), 15001, "Cannot insert a NULL value"),
    ],
)  # fmt: skip
def test_a_file_that_does_not_fit_is_refused(database, lake, schema, column, array, code, part):
    database.run(f"create table t (v {column})")
    database.connection.commit()
    url = lake.put_parquet(f"{schema}/t", two(v=array))
    error = database.refusal(f"copy t from '{url}' {lake.authorization} format parquet")
    assert error.pgcode == "XX000"
    text = str(error)
    assert text.startswith("Spectrum Scan Error\nDETAIL:")
    assert f"code:      {code}" in text
    assert part in text
    assert database.run("select count(*) from t") == [(0,)]


@pytest.mark.parametrize("found", [1, 3])
def test_the_number_of_columns_must_match(database, lake: Lake, schema, found):
    database.run("create table t (a int, b int)")
    database.connection.commit()
    table = pa.table({f"c{n}": pa.array([1], pa.int32()) for n in range(found)})
    url = lake.put_parquet(f"{schema}/t", table)
    error = database.refusal(f"copy t from '{url}' {lake.authorization} format parquet")
    assert f"Table columns: 2, Data columns: {found}, File name: https://s3" in str(error)
    assert "code:      15007" in str(error)


def test_nested_columns_need_serializetojson(database, lake: Lake, schema):
    database.run("create table t (v super)")
    value = {"a": [1, None], "b": "x"}
    url = lake.put_parquet(f"{schema}/t", two(v=pa.array([value])))
    assert loaded(database, lake, url, "serializetojson") == [('{"a": [1, null], "b": "x"}',)]


def test_identity_columns_fill_themselves_or_need_explicit_ids(database, lake: Lake, schema):
    database.run("create table t (id bigint identity(10, 5), v int)")
    database.connection.commit()
    one = lake.put_parquet(f"{schema}/one", two(v=pa.array([1, 2], pa.int32())))
    assert loaded(database, lake, one) == [(10, 1), (15, 2)]
    database.connection.commit()
    both = lake.put_parquet(f"{schema}/both", two(id=[99], v=pa.array([3], pa.int32())))
    copy = f"copy t (id, v) from '{both}' {lake.authorization} format parquet"
    assert "EXPLICIT_IDS" in str(database.refusal(copy))
    database.run(f"{copy} explicit_ids")
    assert database.run("select id from t where v = 3") == [(99,)]


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"meta": None}, "File entry does not have 'meta' key"),
        ({"meta": {}}, "Meta does not have 'content_length' key"),
        ({"meta": {"content_length": 3}}, "The content_length in the manifest, 3, is not the size"),
    ],
)
def test_a_parquet_manifest_needs_right_content_lengths(database, lake, schema, change, part):
    database.run("create table t (id int)")
    database.connection.commit()
    url = lake.put_parquet(f"{schema}/t", two(id=pa.array([1], pa.int32())))
    manifest = lake.put_manifest(f"{schema}/m", url, **change)
    copy = f"copy t from '{manifest}' {lake.authorization} format parquet manifest"
    assert part in str(database.refusal(copy))


def test_missing_files_are_an_error_only_if_mandatory(database, lake: Lake, schema):
    database.run("create table t (id int)")
    database.connection.commit()
    url = lake.put_parquet(f"{schema}/t", two(id=pa.array([1], pa.int32())))
    gone = lake.put_parquet(f"{schema}/gone", two(id=pa.array([2], pa.int32())))
    strict = lake.put_manifest(f"{schema}/strict", url, gone)
    loose = lake.put_manifest(f"{schema}/loose", url, gone, mandatory=False)
    lake.s3.delete_object(Bucket=lake.bucket, Key=f"{schema}/gone")
    copy = "copy t from '{}' " + lake.authorization + " format parquet manifest"
    assert "Mandatory url is not present" in str(database.refusal(copy.format(strict)))
    database.run(copy.format(loose))
    assert database.run("select * from t") == [(1,)]


@pytest.mark.parametrize(
    ("copy", "code", "text"),
    [
        ("copy t from 's3://no-such-bucket-here/x' {auth} format parquet", "XX000",
         "S3ServiceException:The specified bucket does not exist,Status 404,Error NoSuchBucket"),
        ("copy t from 's3://{bucket}/nothing/' {auth} format parquet", "XX000",
         "The specified S3 prefix 'nothing/' does not exist"),
        ("copy t from 's3://{bucket}/nothing' {auth} format parquet manifest", "XX000",
         "Problem reading manifest file - S3ServiceException:The specified key does not exist"),
        ("copy t from 's3://{bucket}/x' iam_role 'arn:aws:iam::123456789012:role/nobody' parquet",
         "XX000", "is not authorized to assume IAM Role arn:aws:iam::123456789012:role/nobody"),
        ("copy t from 's3://{bucket}/x' iam_role 'nonsense' parquet", "XX000", "Invalid IAM Role"),
        ("copy t from 's3://{bucket}/x' format parquet", "42601", "CREDENTIALS argument is required"),
        ("copy t from 's3://{bucket}/x' {auth} format parquet region 'us-east-1'", "0A000",
         "REGION argument is not supported for PARQUET based COPY"),
        ("copy t from 's3://{bucket}/x' {auth} format parquet compupdate off", "0A000",
         "COMPUPDATE argument is not supported for PARQUET based COPY"),
        ("copy t from 's3://{bucket}/x' {auth} format parquet maxerror 1", "0A000",
         "MAXERROR argument is not supported for PARQUET based COPY"),
        ("copy t from 's3://{bucket}/x' {auth} format parquet nonsense", "42601",
         'syntax error at or near "nonsense"'),
        ("copy nowhere from 's3://{bucket}/x' {auth} format parquet", "42P01", "nonexistent table"),
        ("copy t (id, nope) from 's3://{bucket}/x' {auth} format parquet", "42703", '"nope"'),
        ("copy t from stdin", "0A000", "LOAD source is not supported"),
    ],
)  # fmt: skip
def test_copy_is_refused_in_redshifts_words(database, lake: Lake, copy, code, text):
    database.run("create table t (id int)")
    database.connection.commit()
    sql = copy.format(bucket=lake.bucket, auth=lake.authorization)
    error = database.refusal(sql)
    assert (error.pgcode, text in str(error)) == (code, True), str(error)


@pytest.mark.parametrize(
    "clause",
    [
        "credentials 'aws_iam_role={role}'",
        "with credentials as 'aws_access_key_id=a;aws_secret_access_key=b;token=c'",
        "access_key_id 'a' secret_access_key 'b' session_token 'c'",
        "iam_role default",
        "iam_role '{role}' statupdate off maxerror 0",
    ],
)
def test_every_kind_of_authorization(database: Database, lake: Lake, schema, clause):
    database.run("create table t (id int)")
    url = lake.put_parquet(f"{schema}/t", two(id=pa.array([1], pa.int32())))
    database.run(f"copy t from '{url}' {clause.format(role=lake.role)} format parquet")
    assert database.run("select * from t") == [(1,)]


def test_copy_ids_and_files_are_listed(database: Database, lake: Lake, schema):
    database.run("create table t (id int)")
    database.connection.commit()
    assert database.run("select pg_last_copy_id()") == [(-1,)]
    url = lake.put_parquet(f"{schema}/t", two(id=pa.array([1, 2], pa.int32())))
    loaded(database, lake, url)
    assert database.run("select pg_last_copy_count()") == [(2,)]
    database.connection.commit()
    assert database.run(
        "select trim(filename), lines_scanned from stl_load_commits where query = pg_last_copy_id()"
    ) == [(url, 2)]
    assert database.run(
        "select query_type, trim(status) from sys_query_history where query_id = pg_last_copy_id()"
    ) == [("COPY", "success")]
