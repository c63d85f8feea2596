"""Wrong settings, wrong data, wrong rights: each ends in a sentence that says what to do."""

from dataclasses import replace
from datetime import UTC, datetime
from decimal import Decimal

import boto3
import pyarrow as pa
import pytest

from tranship.errors import (
    ConfigurationError,
    ConnectionFailedError,
    UnreachableError,
    ValueDoesNotFitError,
    WriteFailedError,
)
from tranship.frames import Batches
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.setup import set_up_bucket
from tranship.redshift.transaction import Transaction
from tranship.redshift.writer import write
from tranship.writes import WriteRequest


def test_a_bucket_that_is_not_there_is_named(database, sales):
    settings = replace(database.settings, bucket_name="tranship-no-such-bucket")
    with pytest.raises(ConfigurationError, match="there is no bucket 'tranship-no-such-bucket'"):
        write(settings, WriteRequest(database.table()), Batches.of(sales))


def test_a_role_that_redshift_may_not_use_is_named_and_the_rows_stay(database, sales, staged_keys):
    database.write(sales)
    role = "arn:aws:iam::123456789012:role/not-there"
    settings = replace(database.settings, s3_iam_role=role)
    with pytest.raises(ConfigurationError) as caught:
        write(settings, WriteRequest(database.table()), Batches.of(sales.slice(0, 1)))
    assert f"Redshift may not use the role {role}" in str(caught.value)
    assert "Attach the role to the cluster" in str(caught.value)
    assert database.rows("select count(*) from {schema}.sales") == [(3,)]
    assert staged_keys() == []


def test_a_wrong_password_is_refused_without_showing_it(database, sales):
    settings = replace(database.settings, password="hunter2")
    with pytest.raises(ConnectionFailedError, match="refused user") as caught:
        write(settings, WriteRequest(database.table()), Batches.of(sales))
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(settings)


def test_an_address_where_nothing_listens_is_named(database, sales):
    settings = replace(database.settings, port=9, attempts=1)
    with pytest.raises(UnreachableError, match=r"Redshift did not answer at 127\.0\.0\.1:9"):
        write(settings, WriteRequest(database.table()), Batches.of(sales))


def test_a_table_of_somebody_else_is_refused_with_the_grant_to_ask_for(database, sales):
    database.write(sales)
    user = f"other_{database.schema[-8:]}"
    database.rows(f"create user {user} password 'Secret123'")
    database.rows(f"grant usage, create on schema {{schema}} to {user}")
    database.rows(f"grant select on {{schema}}.sales to {user}")
    settings = replace(database.settings, user=user, password="Secret123")
    try:
        with pytest.raises(WriteFailedError) as caught:
            write(settings, WriteRequest(database.table()), Batches.of(sales))
        assert "permission denied for relation sales" in str(caught.value)
        assert f'to "{user}";' in str(caught.value)
    finally:
        database.rows(f"revoke all on schema {{schema}} from {user}")
        database.rows(f"revoke all on {{schema}}.sales from {user}")
        database.rows(f"drop user {user}")


def test_a_decimal_that_overflows_names_column_row_and_value(database, staged_keys):
    data = pa.table({"price": pa.array([Decimal("1.00"), Decimal("12345.67")])})
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(data, column_types={"price": "decimal(5,2)"})
    assert 'Row 2, column "price"' in str(caught.value)
    assert "Decimal('12345.67')" in str(caught.value)
    assert staged_keys() == []


def test_nanoseconds_that_would_be_lost_are_refused_unless_told_to_cut_them(database):
    instant = 1_700_000_000_123_456_789
    data = pa.table({"at": pa.array([0, instant], pa.timestamp("ns"))})
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(data)
    assert 'Row 2, column "at"' in str(caught.value)
    assert "digits beyond microseconds" in str(caught.value)
    settings = replace(database.settings, truncate_timestamps=True)
    write(settings, WriteRequest(database.table()), Batches.of(data))
    assert database.rows("select max(at) from {schema}.sales") == [
        (datetime.fromtimestamp(1_700_000_000, UTC).replace(microsecond=123456, tzinfo=None),)
    ]


def test_whole_microseconds_in_nanosecond_columns_are_fine(database):
    database.write(pa.table({"at": pa.array([1_000], pa.timestamp("ns"))}))
    assert database.rows("select at from {schema}.sales") == [(datetime(1970, 1, 1, 0, 0, 0, 1),)]


def test_a_failed_copy_is_decoded_to_file_column_and_reason(database, sales, monkeypatch):
    database.write(sales)
    run = Transaction.run

    def with_a_narrower_column(self):
        # Behind our back, between the check and the COPY.
        database.rows("alter table {schema}.sales drop column region")
        database.rows("alter table {schema}.sales add column region varchar(2)")
        return run(self)

    monkeypatch.setattr(Transaction, "run", with_a_narrower_column)
    with pytest.raises(ValueDoesNotFitError) as caught:
        database.write(sales)
    assert 'column "Region"' in str(caught.value)
    assert "part-00000.parquet" in str(caught.value)
    assert caught.value.details["column"] == "region"
    assert database.rows("select count(*) from {schema}.sales") == [(3,)]


# ---- credentials ----


@pytest.fixture
def cluster(s3_endpoint, settings):
    """A provisioned cluster in the control plane, without a database behind it."""
    client = boto3.client("redshift", endpoint_url=s3_endpoint)
    name = f"cluster-{settings.s3_prefix[-8:]}"
    client.create_cluster(
        ClusterIdentifier=name,
        NodeType="ra3.large",
        MasterUsername="admin",
        MasterUserPassword="Secret123",
    )
    yield client, name
    client.delete_cluster(ClusterIdentifier=name, SkipFinalClusterSnapshot=True)


def test_temporary_credentials_are_fetched_for_a_cluster_and_kept_until_they_expire(
    cluster, settings
):
    _, name = cluster
    source = CredentialsSource(replace(settings, password=None, cluster_identifier=name))
    first = source.get()
    assert first.user.endswith(settings.user or "")
    assert first.expires_at is not None
    assert source.get() is first
    assert first.password not in repr(first)
    own = replace(settings, password=None, cluster_identifier=name)
    then = first.expires_at
    late = CredentialsSource(own, now=lambda: then)
    assert late.get() is not late.get()


def test_rows_are_written_with_temporary_credentials(cluster, database, sales):
    _, name = cluster
    settings = replace(database.settings, password=None, cluster_identifier=name)
    assert write(settings, WriteRequest(database.table()), Batches.of(sales)).rows == 3


def test_an_unknown_cluster_is_named(settings, sales, database):
    unknown = replace(settings, password=None, cluster_identifier="nowhere")
    with pytest.raises(ConfigurationError, match="there is no cluster 'nowhere' in us-east-1"):
        write(unknown, WriteRequest(database.table()), Batches.of(sales))


def test_a_paused_cluster_is_told_from_one_that_is_away(cluster, settings, sales, database):
    client, name = cluster
    client.pause_cluster(ClusterIdentifier=name)
    asleep = replace(
        settings, password=None, cluster_identifier=name, host="127.0.0.1", port=9, attempts=1
    )
    with pytest.raises(ConnectionFailedError) as caught:
        write(asleep, WriteRequest(database.table()), Batches.of(sales))
    assert f"The cluster {name} is paused." in str(caught.value)
    assert "aws redshift resume-cluster" in str(caught.value)


def test_no_aws_credentials_at_all_are_reported(database, sales, monkeypatch):
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/dev/null")
    monkeypatch.setenv("AWS_CONFIG_FILE", "/dev/null")
    with pytest.raises(ConnectionFailedError, match="there are no AWS credentials"):
        write(database.settings, WriteRequest(database.table()), Batches.of(sales))


# ---- set-up ----


def test_the_bucket_is_set_up_once_and_keeps_its_other_rules(settings, s3):
    bucket = f"{settings.bucket_name}-rules-{settings.s3_prefix[-8:]}"
    s3.create_bucket(Bucket=bucket)
    own = {"ID": "own", "Status": "Enabled", "Filter": {"Prefix": "x/"}, "Expiration": {"Days": 9}}
    s3.put_bucket_lifecycle_configuration(Bucket=bucket, LifecycleConfiguration={"Rules": [own]})
    for _ in range(2):
        set_up_bucket(replace(settings, bucket_name=bucket))
        rules = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
        assert [rule["ID"] for rule in rules] == ["own", "tranship-staging"]
    mine = s3.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"][1]
    assert mine["AbortIncompleteMultipartUpload"] == {"DaysAfterInitiation": 1}
    assert mine["Filter"] == {"Prefix": settings.s3_prefix + "/"}
