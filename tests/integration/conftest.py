"""What the tests of several parts share: a Dagster instance, a Redshift whose faults can be armed, a bucket."""

import os
import secrets
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import boto3
import dagster as dg
import pytest
from redshift_places import REGION
from source_capabilities import refusal

from standins.embedded import EmbeddedPostgres
from standins.redshift.faults import Faults
from standins.redshift.server import Options, RedshiftStandIn

ROLE = "tranship-test-copy"
TRUST = '{"Version": "2012-10-17", "Statement": []}'


@pytest.fixture
def instance_on_disk(tmp_path: Path) -> Iterator[dg.DagsterInstance]:
    """A Dagster instance that keeps runs and events in a folder of its own, as `dagster dev` does."""
    home = tmp_path / "dagster_home"
    home.mkdir()
    (home / "dagster.yaml").write_text("telemetry: {enabled: false}\n")
    with dg.DagsterInstance.local_temp(str(home)) as instance:
        yield instance


@pytest.fixture(autouse=True)
def _source_can(request: pytest.FixtureRequest) -> None:
    """Skip a test that needs what the SQL Server under test cannot do, in that server's own words."""
    for marker in request.node.iter_markers("source_can"):
        url = request.getfixturevalue("sqlserver_url")
        for capability in marker.args:
            why = refusal(url, capability)
            if why is not None:
                pytest.skip(f"the SQL Server under test lacks {capability}: {why}")


# ---- Redshift, and the bucket it loads from ----


@pytest.fixture(scope="session")
def aws_environment() -> Iterator[None]:
    """Keys for moto, where no real ones are set."""
    with pytest.MonkeyPatch.context() as patch:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            if name not in os.environ:
                patch.setenv(name, "test")
        patch.setenv("AWS_DEFAULT_REGION", os.environ.get("AWS_DEFAULT_REGION", REGION))
        yield


@pytest.fixture(scope="session")
def s3(s3_endpoint: str, aws_environment: None) -> Any:
    return boto3.client("s3", endpoint_url=s3_endpoint)


@pytest.fixture(scope="session")
def bucket(s3: Any) -> str:
    """The bucket that tests stage in."""
    given = os.environ.get("TRANSHIP_TEST_REDSHIFT_BUCKET")
    if given:
        return given
    name = f"tranship-test-{secrets.token_hex(6)}"
    s3.create_bucket(Bucket=name)
    return name


@pytest.fixture(scope="session")
def iam_role(s3_endpoint: str, aws_environment: None) -> str:
    """The role that Redshift reads the bucket with."""
    given = os.environ.get("TRANSHIP_TEST_REDSHIFT_IAM_ROLE")
    if given:
        return given
    iam = boto3.client("iam", endpoint_url=s3_endpoint)
    name = f"{ROLE}-{secrets.token_hex(4)}"
    return iam.create_role(RoleName=name, AssumeRolePolicyDocument=TRUST)["Role"]["Arn"]


@pytest.fixture(scope="session")
def standin(
    embedded_postgres: EmbeddedPostgres, s3_endpoint: str, aws_environment: None
) -> Iterator[RedshiftStandIn]:
    """A stand-in in this process, whose faults a test can arm."""
    backend = embedded_postgres.create_database("redshift_faults")
    parts = urlsplit(backend)
    options = Options(
        postgres=backend,
        user=parts.username or "postgres",
        password=unquote(parts.password or ""),
        s3_endpoint=s3_endpoint,
    )
    with RedshiftStandIn(options) as running:
        yield running


@pytest.fixture
def faults(standin: RedshiftStandIn) -> Iterator[Faults]:
    yield standin.faults
    standin.faults.clear()
