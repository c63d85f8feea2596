"""What AWS answers, and what a user reads."""

from dataclasses import replace

import pytest
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
    NoRegionError,
    TokenRetrievalError,
)

from tranship.errors import (
    ConfigurationError,
    ConnectionFailedError,
    TranshipError,
    TransientError,
    UnreachableError,
)
from tranship.redshift.aws import aws_errors
from tranship.redshift.settings import RedshiftSettings

SETTINGS = RedshiftSettings(
    database="dev", bucket_name="stage", s3_iam_role="default", region_name="eu-west-1", cluster_identifier="dw", user="etl",
)  # fmt: skip


def answered(code, status=400, operation="PutObject"):
    reply = {
        "Error": {"Code": code, "Message": "said so"},
        "ResponseMetadata": {"HTTPStatusCode": status},
    }
    return ClientError(reply, operation)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize(
    ("error", "kind", "text"),
    [
        (answered("ExpiredToken"), ConnectionFailedError, "have expired. Sign in again"),
        (answered("ExpiredTokenException"), ConnectionFailedError, "have expired"),
        (answered("InvalidAccessKeyId", 403), ConnectionFailedError, "does not accept these"),
        (answered("NoSuchBucket", 404), ConfigurationError, "there is no bucket 'stage'"),
        (answered("AccessDenied", 403), ConnectionFailedError, "AWS denies PutObject"),
        (answered("PermanentRedirect", 301), ConfigurationError, "another region than eu-west-1"),
        (answered("SlowDown", 503), TransientError, "AWS answered SlowDown"),
        (answered("Weird", 502), TransientError, "AWS answered Weird"),
        (answered("ClusterNotFound", 404), ConfigurationError, "there is no cluster 'dw'"),
        (answered("ClusterNotFoundFault", 404), ConfigurationError, "Check cluster_identifier"),
        (NoCredentialsError(), ConnectionFailedError, "there are no AWS credentials"),
        (NoRegionError(), ConfigurationError, "Set region_name"),
        (
            TokenRetrievalError(provider="sso", error_msg="x"),
            ConnectionFailedError,
            "Run aws sso login",
        ),
        (EndpointConnectionError(endpoint_url="http://s3"), UnreachableError, "Check the endpoint"),
        (ConnectionClosedError(endpoint_url="http://s3"), TransientError, "http://s3"),
    ],
)
def test_each_answer_becomes_a_sentence_that_says_what_to_do(error, kind, text):
    with pytest.raises(TranshipError) as caught, aws_errors(SETTINGS, "staging"):
        raise error
    assert type(caught.value) is kind
    assert str(caught.value).startswith("Staging failed")
    assert text in str(caught.value)


def test_other_errors_pass_as_they_are():
    with pytest.raises(KeyError), aws_errors(SETTINGS, "staging"):
        raise KeyError("x")


@pytest.mark.parametrize(
    ("settings", "code", "operation", "said", "text"),
    [
        (SETTINGS, "AccessDenied", "PutObject", "not allowed to kms:GenerateDataKey", "Allow kms:GenerateDataKey"),
        (SETTINGS, "KMS.DisabledException", "PutObject", "the key is disabled", "see that the key is enabled"),
        (SETTINGS, "AccessDenied", "PutObject", "Access Denied", "set s3_encryption"),
        (replace(SETTINGS, auto_create=True, db_groups=("loaders",)), "AccessDenied", "GetClusterCredentials",
         "Access Denied", "redshift:CreateClusterUser, redshift:JoinGroup"),
    ],
)  # fmt: skip
def test_a_denial_names_the_right_that_is_missing(settings, code, operation, said, text):
    reply = {
        "Error": {"Code": code, "Message": said},
        "ResponseMetadata": {"HTTPStatusCode": 403},
    }
    with pytest.raises(ConnectionFailedError) as caught, aws_errors(settings, "staging"):
        raise ClientError(reply, operation)  # pyright: ignore[reportArgumentType]
    assert text in str(caught.value)
