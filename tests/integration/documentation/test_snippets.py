"""The Python that the pages print and that reaches a system, run against one."""

from typing import Any

import pandas as pd
import psycopg2.extensions
import pytest
from documentation import blocks
from redshift_places import settings_of

import tranship
from tranship.postgres import settings as postgres_settings
from tranship.postgres.settings import PostgresSettings
from tranship.settings import settings_of as settings_of_system


def printed(page: str, first_line: str) -> str:
    """The one block of a page that begins so."""
    (block,) = [
        block for block in blocks("python") if (block.page, block.first_line) == (page, first_line)
    ]
    return block.text


def test_a_frame_is_written_without_dagster(
    postgres_url: str,
    postgres_connection: psycopg2.extensions.connection,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
):
    real = PostgresSettings.from_url(postgres_url)
    # The page's address leads nowhere here; all else is run as it is printed.
    monkeypatch.setattr(postgres_settings, "PostgresSettings", lambda **_: real)
    frame = pd.DataFrame({"id": [1, 2], "name": ["a", "b"]})
    text = printed("docs/library.md", "from tranship import Batches, TableName, WriteRequest")
    postgres_connection.autocommit = True
    with postgres_connection.cursor() as cursor:
        try:
            for _ in range(2):
                exec(text, {"frame": frame, "password": "..."})
                assert capsys.readouterr().out.startswith("2 ")
            cursor.execute("select id, name from public.stg_customers order by id")
            assert cursor.fetchall() == [(1, "a"), (2, "b")]
        finally:
            cursor.execute("drop table if exists public.stg_customers")


def test_a_resource_writes_counts_and_reads_outside_of_any_asset(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    settings = PostgresSettings.from_url(postgres_url)
    real = tranship.PostgresResource(
        **{name: getattr(settings, name) for name in settings_of_system(PostgresSettings)}
    )
    # The page's address leads nowhere here; all else is run as it is printed.
    monkeypatch.setattr(tranship, "PostgresResource", lambda **_: real)
    frame = pd.DataFrame({"id": [1, 999, 1000], "name": ["a", "b", "c"]})
    text = printed(
        "docs/library.md",
        "from tranship import KeyRange, PostgresResource, TableName, WriteRequest",
    )
    try:
        for _ in range(2):
            exec(text, {"frame": frame, "password": "..."})
            assert capsys.readouterr().out.split() == ["2", "id", "0", "1", "1", "999", "2", "1000"]
    finally:
        with real.connect() as connection, connection.cursor() as cursor:
            cursor.execute("drop table if exists staging.customers")
            connection.commit()


def test_a_bucket_is_set_up_once(
    redshift_url: str, bucket: str, iam_role: str, s3_endpoint: str, s3: Any
):
    settings = settings_of(redshift_url, bucket, iam_role, s3_endpoint)
    text = printed("docs/redshift.md", "from tranship.redshift.setup import set_up_bucket")
    for _ in range(2):
        exec(text, {"settings": settings})
    rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    assert len(rules) == 1
