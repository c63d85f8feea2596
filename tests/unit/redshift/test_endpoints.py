"""What a client of S3 is told of an endpoint that is not Amazon's."""

import pytest

from standins.embedded.loopback import without_proxy
from tranship.redshift.aws import api_client, s3_client
from tranship.redshift.settings import RedshiftSettings

SETTINGS = RedshiftSettings(
    database="dev", bucket_name="b", s3_iam_role="default", host="dw", user="etl", password="p"
)


@pytest.fixture(autouse=True)
def company_network(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("AWS_DEFAULT_REGION", "eu-west-1")
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "test")
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy"):
        monkeypatch.setenv(name, "http://proxy.example.com:3128")


@pytest.mark.parametrize("endpoint", ["http://127.0.0.1:4566", "http://localhost:4566", "http://[::1]:9"])  # fmt: skip
def test_this_machine_is_asked_without_the_proxy(monkeypatch: pytest.MonkeyPatch, endpoint: str):
    monkeypatch.setenv("AWS_ENDPOINT_URL", endpoint)
    for client in (s3_client(SETTINGS), api_client(SETTINGS, "redshift")):
        assert client.meta.config.proxies == {}
    assert s3_client(SETTINGS).meta.config.s3["addressing_style"] == "path"


def test_any_other_is_asked_as_the_environment_says(monkeypatch: pytest.MonkeyPatch):
    assert s3_client(SETTINGS).meta.config.proxies is None
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://minio.intranet:9000")
    client = s3_client(SETTINGS)
    assert client.meta.config.proxies is None
    assert client.meta.config.s3["addressing_style"] == "path"


@pytest.mark.parametrize(
    ("given", "exempt"),
    [
        ({}, "127.0.0.1,localhost,::1"),
        ({"no_proxy": ".corp, localhost"}, ".corp,localhost,127.0.0.1,::1"),
        ({"NO_PROXY": "*"}, "*"),
        ({"no_proxy": "", "NO_PROXY": "10.0.0.0/8"}, "10.0.0.0/8,127.0.0.1,localhost,::1"),
    ],
)
def test_embedded_servers_are_excepted_from_the_proxy(given: dict[str, str], exempt: str):
    assert without_proxy(given) == {"no_proxy": exempt, "NO_PROXY": exempt}
