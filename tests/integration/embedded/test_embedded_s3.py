"""The embedded S3: real protocol, several services, gone when stopped."""

import io
from collections.abc import Iterator
from pathlib import Path

import boto3
import pytest

from standins.embedded import EmbeddedS3
from standins.embedded.liveness import is_running

CREDENTIALS = {
    "region_name": "us-east-1",
    "aws_access_key_id": "test",
    "aws_secret_access_key": "test",
}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedS3]:
    with EmbeddedS3(tmp_path_factory.mktemp("s3")) as server:
        yield server


def test_an_object_written_is_read_back(server: EmbeddedS3):
    s3 = boto3.client("s3", endpoint_url=server.endpoint, **CREDENTIALS)
    s3.create_bucket(Bucket="staging")
    s3.upload_fileobj(io.BytesIO(b"cargo"), "staging", "part-0")
    assert s3.get_object(Bucket="staging", Key="part-0")["Body"].read() == b"cargo"


def test_identity_and_secrets_answer_at_the_same_address(server: EmbeddedS3):
    sts = boto3.client("sts", endpoint_url=server.endpoint, **CREDENTIALS)
    assert sts.get_caller_identity()["Account"]
    secrets = boto3.client("secretsmanager", endpoint_url=server.endpoint, **CREDENTIALS)
    secrets.create_secret(Name="warehouse", SecretString="s3cret")
    assert secrets.get_secret_value(SecretId="warehouse")["SecretString"] == "s3cret"


def test_it_is_gone_when_stopped(tmp_path: Path):
    with EmbeddedS3(tmp_path) as server:
        process = server._server
        assert process is not None
        assert is_running(process.pid)
    assert not is_running(process.pid)
    assert list(tmp_path.iterdir()) == [server.log]
