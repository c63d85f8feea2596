"""Sales in Redshift: published by month from staging, replaced in ranges, and reconciled with Postgres."""

from collections.abc import Callable, Iterator

import boto3
import dagster as dg
import pytest
import sqlalchemy as sa
from etl_runs import failures, run
from statements import asking

MONTHS = {
    "dagster/asset_partition_range_start": "2010-12-01",
    "dagster/asset_partition_range_end": "2014-01-01",
}
BUCKET = "tranship-staging"


@pytest.fixture(scope="session")
def staging_bucket(s3_endpoint: str) -> str:
    """The bucket and the role of the code location, made as the stack makes them."""
    keys = {
        "aws_access_key_id": "test",
        "aws_secret_access_key": "test",
        "region_name": "us-east-1",
    }
    boto3.client("s3", endpoint_url=s3_endpoint, **keys).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", endpoint_url=s3_endpoint, **keys)
    role = iam.create_role(RoleName="tranship-etl-tests", AssumeRolePolicyDocument="{}")
    return role["Role"]["Arn"]


@pytest.fixture
def sales(
    environment: pytest.MonkeyPatch, s3_endpoint: str, staging_bucket: str, redshift_url: str
) -> None:
    """The environment that tells the code location where Redshift and its bucket are."""
    url = sa.make_url(redshift_url.replace("redshift://", "postgresql://"))
    for name, value in {
        "TRANSHIP_REDSHIFT_HOST": url.host,
        "TRANSHIP_REDSHIFT_PORT": str(url.port),
        "TRANSHIP_REDSHIFT_DATABASE": url.database,
        "TRANSHIP_REDSHIFT_USER": url.username,
        "TRANSHIP_REDSHIFT_PASSWORD": url.password,
        "TRANSHIP_REDSHIFT_IAM_ROLE": staging_bucket,
        "AWS_ENDPOINT_URL": s3_endpoint,
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
    }.items():
        environment.setenv(name, str(value))


@pytest.fixture
def redshift(redshift_url: str) -> Iterator[Callable[[str], list[tuple]]]:
    """Ask Redshift."""
    with asking(redshift_url) as ask:
        yield ask


def publish(repository, instance, tags) -> dg.ExecuteInProcessResult:
    return repository.get_job("sales_job").execute_in_process(
        instance=instance,
        raise_on_error=False,
        tags=tags,
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )


@pytest.mark.usefixtures("sales")
def test_sales_reach_redshift_to_the_cent_and_a_month_is_replaced_alone(
    repository, instance, query, redshift
):
    staged = run(repository, instance, "staging_job")
    assert staged.success, failures(staged)
    first, published = (publish(repository, instance, MONTHS) for _ in range(2))
    for one in (first, published):
        assert one.success, failures(one)
        assert redshift(
            "select count(*), sum(salesamount) from sales.fact_internet_sales"
        ) == query('select count(*), sum("SalesAmount") from staging."FactInternetSales"')
    checks = [
        event.asset_check_evaluation_data
        for event in published.all_events
        if event.event_type_value == "ASSET_CHECK_EVALUATION"
    ]
    assert sorted(
        (check.asset_key.path[-1], check.check_name, check.passed) for check in checks
    ) == [
        ("dim_product", "as_many_rows_as_the_source", True),
        ("dim_product", "columns_agree_with_the_source", True),
        ("dim_product", "columns_as_in_the_source", True),
        ("dim_product", "no_key_twice", True),
        ("reconciliation", "redshift_agrees_with_postgres", True),
    ]
    products = "select count(*), sum(list_price), max(product_name) from {}.dim_product"
    assert redshift(products.format("sales")) == query(products.format("staging"))

    by_month = (
        "select date_trunc('month', orderdate), count(*), min(salesamount) from sales.fact_internet_sales "
        "group by 1 order by 1"
    )
    before = redshift(by_month)
    redshift(
        "update sales.fact_internet_sales set salesamount = -1 where orderdate >= '2013-03-01'"
    )
    result = repository.get_job("sales_job").execute_in_process(
        instance=instance,
        partition_key="2013-05-01",
        asset_selection=[dg.AssetKey(["sales", "fact_internet_sales"])],
        run_config={"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}},
    )
    assert result.success
    after = redshift(by_month)
    assert [row[:2] for row in after] == [row[:2] for row in before]
    untouched = {month.strftime("%Y-%m") for month, _, least in after if least == -1}
    assert "2013-05" not in untouched
    assert {"2013-03", "2013-04", "2013-06"} <= untouched
