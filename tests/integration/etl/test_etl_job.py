"""`run_etl_job` on the sample warehouse: what lands, what is said, and what happens when it fails."""

import dagster as dg
import pytest
from etl_runs import SAMPLE_ROWS, failures, run

from etl.defs.etl_job.ops import extract_dim_product_category
from etl.retries import TRANSIENT_FAULTS
from tranship.sqlserver.resource import SqlServerResource


def test_every_table_of_the_sample_lands_whole_and_twice_gives_the_same(
    repository, instance, query
):
    for _ in range(2):
        result = run(repository, instance, "run_etl_job")
        assert result.success, failures(result)
        for table, rows in SAMPLE_ROWS.items():
            assert query(f'select count(*) from public."stg_{table}"') == [(rows,)]
    assert query(
        """
        select sum("SalesAmount") = sum("UnitPrice" * "OrderQuantity"), count(distinct "SalesOrderNumber") > 1000
        from public."stg_FactInternetSales"
        """
    ) == [(True, True)]


def test_the_landed_columns_have_the_exact_types_of_the_source(repository, instance, query):
    result = run(repository, instance, "run_etl_job", ["dbo.FactInternetSales"])
    assert result.success, failures(result)
    types = dict(
        query(
            """
            select a.attname::text, format_type(a.atttypid, a.atttypmod) from pg_attribute a
            where a.attrelid = 'public."stg_FactInternetSales"'::regclass and a.attnum > 0 and not a.attisdropped
            """
        )
    )
    assert len(types) == 26
    assert types["SalesAmount"] == "numeric(19,4)"
    assert types["OrderDate"] == "timestamp without time zone"
    assert types["SalesOrderLineNumber"] == "smallint"
    assert types["SalesOrderNumber"] == "character varying(20)"
    assert types["DiscountAmount"] == "double precision"


def test_the_tutorials_pair_of_ops_moves_its_one_table(repository, instance, query):
    result = run(repository, instance, "dim_product_category_job")
    assert result.success, failures(result)
    assert result.output_for_node("extract_dim_product_category", "tbl") == "DimProductCategory"
    assert result.output_for_node("load_dim_product_category") == 4
    names = query(
        'select "EnglishProductCategoryName" from public."stg_DimProductCategory" order by 1'
    )
    assert names == [("Accessories",), ("Bikes",), ("Clothing",), ("Components",)]


def test_a_run_reports_each_table_as_materialized_and_checked(repository, instance):
    result = run(repository, instance, "run_etl_job", ["dbo.DimProductCategory", "dbo.DimDate"])
    materialized = {
        event.step_materialization_data.materialization.asset_key.path[
            -1
        ]: event.step_materialization_data.materialization.metadata
        for event in result.all_events
        if event.is_step_materialization
    }
    assert set(materialized) == {"stg_DimProductCategory", "stg_DimDate"}
    assert materialized["stg_DimDate"]["dagster/row_count"].value == 3_652
    assert materialized["stg_DimDate"]["dagster/table_name"].value == "public.stg_DimDate"
    checks = [
        event.asset_check_evaluation_data
        for event in result.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    assert [check.passed for check in checks] == [True, True]


def test_a_table_that_cannot_be_moved_leaves_the_others_alone(
    repository, instance, query, source_table
):
    place = source_table("create table {table} (id int, at geography)")
    query('drop table if exists public."stg_DimProductCategory"')
    result = run(repository, instance, "run_etl_job", [f"dbo.{place}", "dbo.DimProductCategory"])
    assert not result.success
    assert query('select count(*) from public."stg_DimProductCategory"') == [(4,)]
    (said,) = failures(result).values()
    assert f'"at" of dbo.{place}' in said or ('"at"' in said and place in said)
    assert "geography" in said
    assert "exclude" in said


def test_drift_fails_the_load_names_the_column_and_keeps_the_old_rows(
    repository, instance, query, source_table, sqlserver_connection
):
    table = source_table(
        "create table {table} (id int, name nvarchar(20))", "insert into {table} values (1, N'a')"
    )
    assert run(repository, instance, "run_etl_job", [f"dbo.{table}"]).success
    sqlserver_connection.autocommit = True
    sqlserver_connection.cursor().execute(f"alter table dbo.{table} add size int")
    result = run(repository, instance, "run_etl_job", [f"dbo.{table}"])
    assert not result.success
    (said,) = failures(result).values()
    assert f"public.stg_{table}" in said
    assert '"size"' in said
    assert "on_schema_change" in said
    assert query(f"select id, name from public.stg_{table}") == [(1, "a")]


def test_no_matching_table_says_what_was_looked_for(repository, instance):
    (said,) = failures(run(repository, instance, "run_etl_job", ["dbo.Nowhere*"])).values()
    assert said == (
        "No table of AdventureWorksDW matches ['dbo.Nowhere*']. Check the patterns in the launchpad, "
        "and that the user may see the tables."
    )


@pytest.mark.parametrize(
    ("system", "step"), [("SQLSERVER", "wanted_tables"), ("POSTGRES", "load_table")]
)
def test_a_wrong_password_fails_the_run_once_and_is_never_shown(
    environment, repository, instance, system, step
):
    environment.setenv(f"TRANSHIP_{system}_PASSWORD", "Wr0ng-but-secret")
    result = run(repository, instance, "run_etl_job", ["dbo.DimProductCategory"])
    assert not result.success
    said = failures(result)
    assert [key.split("[")[0] for key in said] == [step]
    log = "\n".join(str(entry) for entry in instance.all_logs(result.run_id))
    assert "Wr0ng-but-secret" not in log
    assert "STEP_UP_FOR_RETRY" not in {event.event_type_value for event in result.all_events}


def test_an_unreachable_source_is_named_and_worth_trying_again():
    nobody_listens = SqlServerResource(
        host="127.0.0.1", port=1, database="x", user="x", password="x"
    )
    with pytest.raises(dg.Failure, match=r"127\.0\.0\.1:1") as raised:
        extract_dim_product_category(dg.build_op_context(), sqlserver=nobody_listens)
    assert raised.value.allow_retries
    assert extract_dim_product_category.retry_policy == TRANSIENT_FAULTS


def test_nothing_is_left_beside_the_loaded_tables(repository, instance, query):
    assert run(repository, instance, "run_etl_job", ["dbo.DimProductCategory"]).success
    left = query(
        "select relname::text from pg_class where relkind = 'r' and relname ~ '^(tranship|_)' "
        "and relnamespace = 'public'::regnamespace"
    )
    assert left == []
