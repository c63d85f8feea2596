"""The policies of deploy/aws, by a simulation of AWS that reads them: what each holder of keys may do, and what not."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.exceptions import ClientError
from moto import mock_aws
from moto.core import set_initial_no_auth_action_count

POLICIES = Path(__file__).parents[3] / "deploy/aws"
LOG, STAGED = "compute-logs/storage/run-1/compute_logs/step.out", "tranship/load-1/part-0.parquet"
OTHER_LOG, ELSEWHERE = "compute-logs/storage/run-2/compute_logs/step.out", "payroll/2026.csv"
REGION = "us-east-1"

#: Holder of keys, call, bucket, key or prefix, and whether it is allowed.
CALLS = [
    ("runs", "put_object", "tranship-logs", LOG, True),
    ("runs", "get_object", "tranship-logs", OTHER_LOG, False),
    ("runs", "delete_object", "tranship-logs", OTHER_LOG, False),
    ("runs", "list_objects_v2", "tranship-logs", "compute-logs/", False),
    ("runs", "put_object", "tranship-logs", ELSEWHERE, False),
    ("runs", "put_object", "tranship-staging", STAGED, True),
    ("runs", "get_object", "tranship-staging", STAGED, True),
    ("runs", "delete_object", "tranship-staging", STAGED, True),
    ("runs", "get_object", "tranship-staging", ELSEWHERE, False),
    ("runs", "delete_bucket", "tranship-staging", "", False),
    ("webserver", "get_object", "tranship-logs", LOG, True),
    ("webserver", "put_object", "tranship-logs", LOG, False),
    ("webserver", "delete_object", "tranship-logs", LOG, False),
    ("webserver", "get_object", "tranship-staging", STAGED, False),
    ("redshift", "get_object", "tranship-staging", STAGED, True),
    ("redshift", "put_object", "tranship-staging", STAGED, True),
    ("redshift", "delete_object", "tranship-staging", STAGED, False),
    ("redshift", "get_object", "tranship-staging", ELSEWHERE, False),
    ("redshift", "get_object", "tranship-logs", LOG, False),
]
#: Before anybody's keys are asked: two buckets, four objects, a user with a policy and a key.
PREPARATIONS = 9


@pytest.fixture
def client_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[str], Any]]:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "nobody")
    monkeypatch.delenv("AWS_ENDPOINT_URL", raising=False)
    with mock_aws():
        yield prepared


def prepared(holder: str) -> Any:
    s3, iam = boto3.client("s3", region_name=REGION), boto3.client("iam", region_name=REGION)
    for bucket in ("tranship-logs", "tranship-staging"):
        s3.create_bucket(Bucket=bucket)
    for bucket, key in (
        ("tranship-logs", LOG),
        ("tranship-logs", OTHER_LOG),
        ("tranship-staging", STAGED),
        ("tranship-staging", ELSEWHERE),
    ):
        s3.put_object(Bucket=bucket, Key=key, Body=b"x")
    iam.create_user(UserName=holder)
    iam.put_user_policy(
        UserName=holder, PolicyName=holder, PolicyDocument=(POLICIES / f"{holder}.json").read_text()
    )
    keys = iam.create_access_key(UserName=holder)["AccessKey"]
    return boto3.client(
        "s3",
        region_name=REGION,
        aws_access_key_id=keys["AccessKeyId"],
        aws_secret_access_key=keys["SecretAccessKey"],
    )


@pytest.mark.parametrize("holder", ["runs", "webserver", "redshift"])
@set_initial_no_auth_action_count(PREPARATIONS)
def test_a_holder_of_keys_may_do_what_it_needs_and_nothing_else(
    client_of: Callable[[str], Any], holder: str
):
    client = client_of(holder)
    # What is refused first, for the rest removes what it is tried on.
    calls = sorted((one for one in CALLS if one[0] == holder), key=lambda one: one[-1])
    assert [called(client, *what) for _, *what, _ in calls] == [allowed for *_, allowed in calls]


def called(client: Any, call: str, bucket: str, key: str) -> bool:
    """Whether a call was allowed."""
    arguments: dict[str, Any] = {"Bucket": bucket}
    if call.startswith("list"):
        arguments["Prefix"] = key
    elif key:
        arguments["Key"] = key
    if call == "put_object":
        arguments["Body"] = b"y"
    try:
        getattr(client, call)(**arguments)
    except ClientError as refusal:
        if refusal.response["Error"]["Code"] != "AccessDenied":
            raise
        return False
    return True


@pytest.mark.parametrize("file", sorted(POLICIES.glob("*.json")), ids=lambda file: file.stem)
def test_no_policy_allows_everything_of_anything(file: Path):
    for statement in json.loads(file.read_text())["Statement"]:
        actions = statement["Action"]
        assert "*" not in "".join([actions] if isinstance(actions, str) else actions)
        assert statement["Resource"].startswith("arn:aws:s3:::tranship-")
