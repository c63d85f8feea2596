"""Replicated tables in Redshift, through the same component."""

import secrets
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import dagster as dg
import psycopg2
import pytest
from replication_runs import checks, event_rows, metadata, said

from tranship.redshift.resource import RedshiftResource
from tranship.replication.config import CheckSettings, TableSettings
from tranship.sqlserver.resource import SqlServerResource

REGION = "us-east-1"


@pytest.fixture
def redshift(
    redshift_url: str, s3_endpoint: str, monkeypatch: pytest.MonkeyPatch
) -> RedshiftResource:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_DEFAULT_REGION", REGION)
    name = f"tranship-test-{secrets.token_hex(6)}"
    boto3.client("s3", endpoint_url=s3_endpoint).create_bucket(Bucket=name)
    role = boto3.client("iam", endpoint_url=s3_endpoint).create_role(
        RoleName=name, AssumeRolePolicyDocument="{}"
    )
    parts = urlsplit(redshift_url)
    return RedshiftResource(
        region_name=REGION,
        host=parts.hostname,
        port=parts.port or 5439,
        user=unquote(parts.username or ""),
        password=unquote(parts.password or ""),
        database=parts.path.lstrip("/"),
        bucket_name=name,
        s3_iam_role=role["Role"]["Arn"],
        s3_endpoint_url=s3_endpoint,
        aws_endpoint_url=s3_endpoint,
    )


@pytest.fixture
def ask(redshift_url: str) -> Iterator[Callable[[str], list[tuple]]]:
    connection = psycopg2.connect(redshift_url.replace("redshift://", "postgresql://"))
    connection.autocommit = True

    def execute(statement: str) -> list[tuple]:
        with connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else []

    yield execute
    connection.close()


@pytest.fixture
def into_redshift(
    instance: dg.DagsterInstance,
    sqlserver: SqlServerResource,
    redshift: RedshiftResource,
    replication: Any,
    ask: Callable[[str], list[tuple]],
) -> Iterator[Any]:
    made = type(replication)(
        instance,
        {"sqlserver": sqlserver, "redshift": redshift},
        f"test_{secrets.token_hex(6)}",
        "redshift",
    )
    yield made
    ask(f"drop schema if exists {made.schema} cascade")


def test_a_merged_table_is_kept_up_to_date_in_redshift_too(into_redshift, events, source, ask):
    into_redshift.of(
        TableSettings(
            table=str(events),
            target="Events",
            mode="merge",
            cursor="Changed",
            delete="mark",
            checks=CheckSettings(columns=True),
        )
    )
    first = into_redshift.run()
    assert first.success, said(first)
    assert all(checks(first).values()), checks(first)
    source(event_rows(31, 32, day=2).replace("{table}", str(events)))
    source(f"update {events} set Name = N'other', Changed = '2024-01-03' where Id = 5")
    source(f"delete from {events} where Id = 9")
    for _ in range(2):
        second = into_redshift.run()
        assert second.success, said(second)
        assert all(checks(second).values()), checks(second)
        assert metadata(second)["bookmark"] == "2024-01-03T00:00:00"
    rows = ask(
        f"""
        select count(*), count(_deleted_at), max(case when id = 5 then name end)
        from {into_redshift.schema}.events
        """
    )
    assert rows == [(32, 1, "other")]
