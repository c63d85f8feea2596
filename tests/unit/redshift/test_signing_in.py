"""Where credentials come from, and how the connection is encrypted."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import certifi
import psycopg2
import pytest

from tranship.errors import ConfigurationError, ConnectionFailedError
from tranship.redshift import credentials as module
from tranship.redshift.connection import open_connection
from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.settings import RedshiftSettings

NOW = datetime(2024, 1, 1, tzinfo=UTC)
SETTINGS = RedshiftSettings(
    database="dev",
    bucket_name="stage",
    s3_iam_role="default",
    region_name="eu-west-1",
    cluster_identifier="dw",
    user="etl",
)
AMAZON_HOST = "dw.abc.eu-west-1.redshift.amazonaws.com"


class Api:
    """Redshift's and Redshift Serverless's control planes, in a few lines."""

    def __init__(self):
        self.calls = []

    def __getattr__(self, name):
        def call(**arguments):
            self.calls.append((name, arguments))
            return getattr(self, f"answer_{name}")(arguments)

        return call

    def answer_get_cluster_credentials(self, arguments):
        return self._provisioned(f"IAM:{arguments['DbUser']}")

    def answer_get_cluster_credentials_with_iam(self, arguments):
        return self._provisioned("IAMR:etl-role")

    def _provisioned(self, user):
        password = f"temporary-{len(self.calls)}"
        return {"DbUser": user, "DbPassword": password, "Expiration": NOW + timedelta(hours=1)}

    def answer_get_credentials(self, arguments):
        return {"dbUser": "IAMR:x", "dbPassword": "t", "expiration": NOW + timedelta(hours=1)}

    def answer_get_workgroup(self, arguments):
        return {"workgroup": {"endpoint": {"address": "wg.amazonaws.com", "port": 5440}}}

    def answer_describe_clusters(self, arguments):
        endpoint = {"Address": AMAZON_HOST, "Port": 5439}
        return {"Clusters": [{"ClusterStatus": "available", "Endpoint": endpoint}]}


@pytest.fixture
def api(monkeypatch):
    made = Api()
    monkeypatch.setattr(module, "api_client", lambda settings, service: made)
    return made


@pytest.fixture
def dialled(monkeypatch):
    """What psycopg2 was asked for; it answers with the errors given, then a connection."""
    calls = SimpleNamespace(arguments=[], errors=[])

    def connect(**arguments):
        calls.arguments.append(arguments)
        if calls.errors:
            raise psycopg2.OperationalError(calls.errors.pop(0))
        return SimpleNamespace(autocommit=False)

    monkeypatch.setattr(psycopg2, "connect", connect)
    return calls


def test_credentials_are_kept_until_shortly_before_they_expire(api):
    clock = [NOW]
    source = CredentialsSource(SETTINGS, now=lambda: clock[0])
    first = source.get()
    clock[0] = NOW + timedelta(minutes=57)
    assert source.get() is first
    clock[0] = NOW + timedelta(minutes=59)
    assert source.get() is not first
    name, arguments = api.calls[0]
    assert name == "get_cluster_credentials"
    assert arguments["DbUser"] == "etl"
    assert arguments["DbName"] == "dev"
    assert arguments["AutoCreate"] is False


def test_a_user_is_created_and_joins_its_groups_where_that_is_set(api):
    # https://docs.aws.amazon.com/redshift/latest/APIReference/API_GetClusterCredentials.html
    CredentialsSource(replace(SETTINGS, auto_create=True, db_groups=("loaders", "readers"))).get()
    arguments = api.calls[0][1]
    assert arguments["AutoCreate"] is True
    assert arguments["DbGroups"] == ["loaders", "readers"]


def test_no_group_is_asked_for_where_none_is_set(api):
    CredentialsSource(SETTINGS).get()
    assert "DbGroups" not in api.calls[0][1]


def test_without_a_user_the_iam_identity_is_the_user(api):
    assert CredentialsSource(replace(SETTINGS, user=None)).get().user == "IAMR:etl-role"
    assert api.calls[0][0] == "get_cluster_credentials_with_iam"


def test_a_workgroup_is_serverless(api):
    source = CredentialsSource(replace(SETTINGS, cluster_identifier=None, workgroup="wg"))
    assert source.get().user == "IAMR:x"
    assert source.endpoint().port == 5440
    assert [name for name, _ in api.calls] == ["get_credentials", "get_workgroup"]


def test_a_given_password_asks_nobody(api):
    source = CredentialsSource(replace(SETTINGS, password="secret", host="localhost"))
    assert source.get().password == "secret"
    assert api.calls == []


def test_amazons_hosts_are_verified_against_public_roots(api, dialled):
    open_connection(SETTINGS, CredentialsSource(SETTINGS))
    arguments = dialled.arguments[0]
    assert arguments["host"] == AMAZON_HOST
    assert arguments["sslmode"] == "verify-full"
    assert arguments["sslrootcert"] == certifi.where()
    assert arguments["user"] == "IAM:etl"
    assert arguments["keepalives"] == 1


def test_own_roots_and_modes_win(api, dialled):
    settings = replace(SETTINGS, sslmode="verify-ca", ssl_root_cert="/etc/amazon.pem")
    open_connection(settings, CredentialsSource(settings))
    assert dialled.arguments[0]["sslmode"] == "verify-ca"
    assert dialled.arguments[0]["sslrootcert"] == "/etc/amazon.pem"


def test_temporary_credentials_that_are_refused_are_fetched_anew_once(api, dialled):
    dialled.errors = ['FATAL: password authentication failed for user "IAM:etl"']
    source = CredentialsSource(SETTINGS)
    open_connection(SETTINGS, source)
    passwords = [arguments["password"] for arguments in dialled.arguments]
    assert len(set(passwords)) == 2
    dialled.errors = ['FATAL: password authentication failed for user "IAM:etl"'] * 2
    with pytest.raises(ConnectionFailedError, match="refused twice") as caught:
        open_connection(SETTINGS, source)
    assert not any(password in str(caught.value) for password in passwords)


def test_a_certificate_that_is_not_trusted_says_which_setting_to_use(api, dialled):
    dialled.errors = ["SSL error: certificate verify failed"] * 2
    with pytest.raises(ConnectionFailedError, match="Set ssl_root_cert"):
        open_connection(SETTINGS, CredentialsSource(SETTINGS))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"workgroup": "wg"}, "Both cluster_identifier and workgroup"),
        ({"cluster_identifier": None}, "Nothing says where Redshift is"),
        ({"cluster_identifier": None, "host": "h"}, "There is no password for h:5439/dev"),
        ({"password": "x", "user": None}, "A password is set, but no user"),
        ({"max_part_bytes": 10}, "max_part_bytes is 10"),
        ({"compression": "lzma"}, "compression is 'lzma'"),
        ({"write_lock": "none"}, "write_lock is 'none'"),
        ({"read_via": "ftp"}, "read_via is 'ftp'"),
        ({"auto_create": True, "user": None}, "auto_create or db_groups is set"),
        ({"db_groups": ("a",), "password": "x", "host": "h"}, "auto_create or db_groups is set"),
        (
            {"db_groups": ("a",), "cluster_identifier": None, "workgroup": "w"},
            "mapped|maps its users",
        ),
        ({"s3_encryption": "des"}, "s3_encryption is 'des'"),
        ({"kms_key_id": "k"}, "kms_key_id is set, and s3_encryption is None"),
        ({"kms_key_id": "k", "s3_encryption": "AES256"}, "kms_key_id is set"),
    ],
)
def test_settings_that_cannot_work_are_refused_at_once(changes, message):
    with pytest.raises(ConfigurationError, match=message):
        replace(SETTINGS, **changes)
