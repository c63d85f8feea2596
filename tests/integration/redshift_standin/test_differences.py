"""What Redshift computes otherwise than Postgres, or has not: never Postgres's answer. Each rule with AWS's page."""

import json
from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import psycopg2
import pyarrow as pa
import pytest

from standins.embedded import EmbeddedPostgres
from standins.redshift import RedshiftStandIn

from .conftest import Connect, Database, Lake

DEVELOPER_GUIDE = "https://docs.aws.amazon.com/redshift/latest/dg/"


@pytest.fixture
def sql(connect: Connect) -> Database:
    connection = connect()
    connection.autocommit = True
    return Database(connection)


# ---- trailing blanks: r_Character_types.html#r_Character_types-significance-of-trailing-blanks ----


@pytest.fixture
def padded(sql: Database) -> Database:
    sql.run("create table t (id int, v varchar(9), c char(9))")
    sql.run(
        "insert into t values (1, 'a', 'a'), (2, 'a ', 'a '), (3, 'a  ', 'a'), (4, 'b', 'b'), (5, ' a', ' a')"
    )
    return sql


@pytest.mark.parametrize(
    ("condition", "ids"),
    [
        ("v = 'a'", [1, 2, 3]),
        ("v = 'a   '", [1, 2, 3]),
        ("v <> 'a'", [4, 5]),
        ("v in ('a ', 'x')", [1, 2, 3]),
        ("v between 'a' and 'a'", [1, 2, 3]),
        ("v > 'a'", [4]),
        ("c = 'a'", [1, 2, 3]),
        ("v = c and v = 'a'", [1, 2, 3]),
        ("case v when 'a' then true else false end", [1, 2, 3]),
        ("nullif(v, 'a') is null", [1, 2, 3]),
        ("v || '.' = 'a.'", [1]),
        ("octet_length(v) = 2", [2, 5]),
    ],
)
def test_trailing_blanks_mean_nothing_when_texts_are_compared(
    padded: Database, condition: str, ids: list[int]
):
    assert padded.run(f"select id from t where {condition} order by 1") == [(id_,) for id_ in ids]


def test_they_mean_nothing_in_groups_sets_and_joins_and_are_kept_in_the_values(padded: Database):
    assert padded.run("select count(distinct v), min(len(v)), max(len(v)) from t") == [(3, 1, 3)]
    assert padded.run("select count(*) from (select v from t group by v) g") == [(3,)]
    assert padded.run("select count(*) from t a join t b on a.v = b.v where a.id = 1") == [(3,)]
    assert padded.run("select count(*) from (select 'a' union select 'a ') u") == [(1,)]
    padded.run("delete from t where v = 'a'")
    assert padded.run("select id from t order by 1") == [(4,), (5,)]


# ---- numbers: r_AVG.html, r_numeric_computations201.html ----


@pytest.mark.parametrize("kind", ["smallint", "int", "bigint"])
def test_the_average_of_integers_is_a_bigint(sql: Database, kind: str):
    sql.run(f"create table t (v {kind}); insert into t values (2), (3), (null)")
    assert sql.run("select avg(v), avg(-v) from t") == [(2, -2)]
    assert sql.run("select avg(v) over () from t limit 1") == [(2,)]
    assert sql.run("select avg(v) from t where v > 9") == [(None,)]
    sql.run("create table made as select avg(v) as a from t")
    assert sql.run("select type from pg_table_def where tablename = 'made'") == [("bigint",)]


def test_the_average_of_decimals_keeps_their_scale(sql: Database):
    sql.run("create table t (v decimal(5, 2)); insert into t values (1.00), (1.00), (2.01)")
    assert sql.run("select avg(v)::varchar from t") == [("1.33",)]
    assert sql.run("select avg(v::float) from t")[0][0] == pytest.approx(1.3366666)


def test_integers_divide_to_integers_and_decimals_are_refused(sql: Database):
    assert sql.run("select 7 / 2, -7 / 2, 7::bigint / 2::smallint, 7.0::float / 2") == [
        (3, -3, 3, 3.5)
    ]
    sql.run("create table t (v decimal(8, 2)); insert into t values (10)")
    for quotient in ("v / v", "v / 3", "10 / v", "sum(v) / count(*)"):
        assert "division of decimals is not computed" in str(
            sql.refusal(f"select {quotient} from t")
        )
    assert sql.run("select v * v, v + 1, v::float / 4 from t") == [
        (Decimal("100.0000"), Decimal("11.00"), 2.5)
    ]


# ---- texts and dates: r_CONCAT.html, r_DATE_TRUNC.html ----


def test_concat_takes_two_and_null_makes_null(sql: Database):
    assert sql.run(
        "select concat('a', 'b'), concat('a', null), concat(null, 1), concat('n', 1)"
    ) == [("ab", None, None, "n1")]
    error = sql.refusal("select concat('a', 'b', 'c')")
    assert error.pgcode == "42883"
    assert "standin" not in str(error)


def test_a_truncated_date_is_a_timestamp_without_a_zone(sql: Database):
    sql.run("create table t (d date); insert into t values ('2024-05-17')")
    sql.run("create table made as select date_trunc('month', d) as m from t")
    assert sql.run("select type from pg_table_def where tablename = 'made'") == [
        ("timestamp without time zone",)
    ]
    assert sql.run("select m::varchar from made") == [("2024-05-01 00:00:00",)]


# ---- settings, and how a driver quotes by them ----


@pytest.mark.parametrize("statement", ["show {}", "set {} to on", "reset {}"])
def test_settings_that_came_after_postgres_8_0_are_unknown(sql: Database, statement: str):
    error = sql.refusal(statement.format("standard_conforming_strings"))
    assert error.pgcode == "42704"


def test_a_backslash_in_a_literal_escapes_and_drivers_double_it(connect: Connect):
    connection = connect()
    assert connection.get_parameter_status("standard_conforming_strings") is None
    with connection.cursor() as cursor:
        for value in ("a\\b", "it's", "\\", "%\\'"):
            cursor.execute("select %s", (value,))
            assert cursor.fetchone() == (value,)
            assert b" E'" not in (cursor.query or b"")


# ---- c_unsupported-postgresql-features.html, -functions.html, -datatypes.html ----


@pytest.mark.parametrize(
    "statement",
    [
        "select distinct on (id) id, v from t",
        "select array_agg(id) from t",
        "select string_agg(v, ',') from t",
        "select pg_catalog.array_agg(id) from t",
        "select count(*) filter (where id > 1) from t",
        "select s.id from t, lateral (select t.id) s",
        "select s.id from t cross join lateral (select t.id) s",
        "select * from generate_series(1, 3)",
        "select * from (values (1), (2)) x",
        "values (1)",
        "select array[1, 2]",
        "select row(1, 2)",
        "select id is distinct from 1 from t",
        "select id is not distinct from 1 from t",
        "select every(id > 0) from t",
        "select corr(id, id) from t",
        "select width_bucket(id, 1, 2, 3) from t",
        "select encode('a'::varbyte, 'hex')",
        "select format('%s', 1)",
        "select clock_timestamp()",
        "select pg_sleep(0)",
        "select regexp_matches('a', 'a')",
        "select to_json(id) from t",
        "select pg_advisory_lock(1)",
        "select txid_current()",
        "select gen_random_uuid()",
        "select '1'::uuid",
        "select cast('{}' as jsonb)",
        "select 'x'::bytea",
        "select '{1}'::int[]",
        "select * from t for update",
        "with gone as (delete from t returning id) select * from gone",
        "create table made as select array_agg(id) from t",
        "insert into t select g, 'x' from generate_series(1, 2) g",
    ],
)
def test_what_only_postgres_has_is_refused_inside_statements_too(sql: Database, statement: str):
    sql.run("create table t (id int, v varchar(9))")
    error = sql.refusal(statement)
    assert error.pgcode in {"0A000", "42601", "42704"}, str(error)


def test_words_that_are_names_or_options_are_none_of_these(sql: Database):
    sql.run('create table format (encode int, "filter" int)')
    sql.run("insert into format (encode, filter) values (1, 2)")
    assert sql.run("select f.encode as uuid, filter from format f") == [(1, 2)]
    assert sql.run("select listagg(encode::varchar, ',') from format") == [("1",)]
    assert sql.run("select count(distinct encode), max(date '2024-01-01') is null from format")


# ---- cursors: declare.html ----


def test_a_second_open_cursor_is_refused(connect: Connect):
    connection = connect()
    first, second = connection.cursor("first"), connection.cursor("second")
    first.execute("select 1")
    with pytest.raises(psycopg2.Error, match="Only one cursor at a time"):
        second.execute("select 2")
    connection.rollback()
    for _ in range(2):
        with connection.cursor("again") as again:
            again.execute("select 1")
            assert again.fetchall() == [(1,)]
        connection.rollback()


# ---- names: r_names.html ----


@pytest.mark.parametrize(
    "statement", ["create table {} (id int)", "create table k (id int, {} int)", "select {} from k"]
)
@pytest.mark.parametrize("shown", ["{}", '"{}"'])
def test_a_long_name_is_refused_and_never_cut(sql: Database, statement: str, shown: str):
    error = sql.refusal(statement.format(shown.format("x" * 64)))
    assert error.pgcode == "42622"


# ---- SUPER's limits: limitations-super.html ----


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ("x" * 65_536, "longer than 65535 bytes"),
        ("ü" * 32_768, "longer than 65535 bytes"),
    ],
)
def test_a_string_longer_than_a_varchar_is_not_for_super(
    sql: Database, lake: Lake, schema: str, value: str, reason: str
):
    sql.run("create table t (s super)")
    for name, data in (("text", [value]), ("nested", [[value]])):
        url = lake.put_parquet(f"{schema}/{name}/a.parquet", pa.table({"s": data}))
        error = sql.refusal(
            f"copy t from '{url}' {lake.authorization} format as parquet serializetojson"
        )
        assert reason in str(error)
    sql.run(f"insert into t select json_parse('{json.dumps('x' * 65_535)}')")
    url = lake.put_parquet(f"{schema}/fits/a.parquet", pa.table({"s": ["x" * 65_535]}))
    sql.run(f"copy t from '{url}' {lake.authorization} format as parquet serializetojson")
    assert sql.run("select count(*) from t") == [(2,)]


# ---- secrets: what other users and the log may read ----


@pytest.mark.parametrize(
    "clause",
    [
        "access_key_id 'AKIAX' secret_access_key 'hunter2' session_token 'hunter3'",
        "credentials 'aws_access_key_id=AKIAX;aws_secret_access_key=hunter2;token=hunter3'",
        "with credentials as 'aws_access_key_id=AKIAX;aws_secret_access_key=hunter2'",
        "ACCESS_KEY_ID AS 'AKIAX' SECRET_ACCESS_KEY AS 'hun''hunter2'",
    ],
)
def test_keys_of_a_copy_are_struck_from_the_system_views(
    sql: Database, lake: Lake, schema: str, clause: str
):
    sql.run("create table t (id bigint)")
    url = lake.put_parquet(f"{schema}/keys/a.parquet", pa.table({"id": [1]}))
    sql.run(f"copy t from '{url}' {clause} format as parquet")
    ((text,),) = sql.run(
        f"select query_text from sys_query_history where query_text like '%{schema}/keys%'"
    )
    assert "hunter" not in text
    assert "AKIAX" not in text
    assert "***" in text


def test_the_password_of_a_failed_create_user_is_not_in_the_servers_log(
    sql: Database, embedded_postgres: EmbeddedPostgres
):
    error = sql.refusal("create user admin password 'Hunter2-secret'")
    assert "already exists" in str(error)
    assert "Hunter2" not in log_of(embedded_postgres)


def log_of(server: EmbeddedPostgres) -> str:
    logs = [path for path in Path(server.directory).rglob("*log*") if path.is_file()]
    assert logs
    return "".join(path.read_text(errors="replace") for path in logs)


# ---- values that nobody can read: an error, and the session goes on ----


@pytest.mark.parametrize(
    "values",
    [
        pa.array([-(2**62)], pa.timestamp("us")),
        pa.array([2**31 - 1], pa.date32()),
    ],
    ids=["past", "date"],
)
def test_a_year_that_is_none_fails_its_copy_and_not_the_session(
    sql: Database, lake: Lake, schema: str, values: pa.Array
):
    kind = "date" if pa.types.is_date(values.type) else "timestamp"
    sql.run(f"create table t (v {kind})")
    url = lake.put_parquet(f"{schema}/years/a.parquet", pa.table({"v": values}))
    error = sql.refusal(f"copy t from '{url}' {lake.authorization} format as parquet")
    assert not sql.connection.closed, str(error)
    assert sql.run("select count(*) from t") == [(0,)]


def test_a_year_that_parquet_cannot_take_fails_its_unload_and_not_the_session(
    sql: Database, lake: Lake, schema: str
):
    sql.run("create table t (v timestamp); insert into t values ('12345-01-01')")
    error = sql.refusal(
        f"unload ('select v from {schema}.t') to 's3://{lake.bucket}/{schema}/u/' {lake.authorization} format as parquet"
    )
    assert not sql.connection.closed, str(error)
    assert sql.run("select count(*) from t") == [(1,)]


# ---- sessions that keep case: r_enable_case_sensitive_identifier.html ----


def test_a_session_says_whether_it_keeps_case(sql: Database, keeping_case: Callable[[], Database]):
    assert sql.run("show enable_case_sensitive_identifier") == [("off",)]
    other = keeping_case()
    assert other.run("show enable_case_sensitive_identifier") == [("on",)]
    other.run('create table "Mixed" ("Ab" int)')
    assert other.refusal('select "ab" from "Mixed"').pgcode == "42703"
    other.run("set enable_case_sensitive_identifier to off")
    assert other.refusal('select 1 from "Mixed"').pgcode == "42P01"


@pytest.fixture
def keeping_case(standin: RedshiftStandIn, connect: Connect):
    """A connection to the same stand-in as a cluster's parameter group would have it keep case."""
    assert standin._services is not None
    before = standin._services
    standin._services = type(before)(
        before.roles, before.faults, before.ids, before.s3_endpoint, case_sensitive_names=True
    )

    def open_one() -> Database:
        connection = connect()
        connection.autocommit = True
        return Database(connection)

    yield open_one
    standin._services = before
