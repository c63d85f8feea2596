"""AWS clients through boto3's own credential chain, and AWS errors as this library's.

boto3 is an optional dependency (`pip install 'tranship[redshift]'`), so it is imported on first use.
"""

# boto3 and botocore have no stubs of their own.
# pyright: reportMissingTypeStubs=false

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

from tranship.errors import (
    ConfigurationError,
    ConnectionFailedError,
    TranshipError,
    TransientError,
    UnreachableError,
    WriteFailedError,
)
from tranship.redshift.settings import RedshiftSettings
from tranship.tls import is_here

UPLOAD_CONNECTIONS = 10
REQUEST_ATTEMPTS = 8

AMAZON = ".amazonaws."

THROTTLED = {
    "SlowDown",
    "ServiceUnavailable",
    "InternalError",
    "InternalFailure",
    "RequestTimeout",
    "Throttling",
    "ThrottlingException",
    "RequestLimitExceeded",
    "TooManyRequestsException",
    "503",
    "500",
}
EXPIRED = {"ExpiredToken", "ExpiredTokenException", "RequestExpired", "TokenRefreshRequired"}
UNKNOWN_KEYS = {
    "InvalidAccessKeyId",
    "InvalidClientTokenId",
    "SignatureDoesNotMatch",
    "UnrecognizedClientException",
    "InvalidToken",
    "AuthFailure",
}
DENIED = {"AccessDenied", "AccessDeniedException", "Forbidden", "403", "UnauthorizedOperation"}
WRONG_REGION = {
    "PermanentRedirect",
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraint",
    "301",
}


def s3_client(settings: RedshiftSettings) -> Any:
    """A client of S3 that retries throttling and server errors by itself.

    Raises:
        ConfigurationError: boto3 is not installed, or there is no region.
    """
    with aws_errors(settings, "connecting to S3"):
        return _client(settings, "s3", settings.s3_endpoint_url)


def api_client(settings: RedshiftSettings, service: str) -> Any:
    """A client of `redshift` or `redshift-serverless`.

    Raises:
        ConfigurationError: boto3 is not installed, or there is no region.
    """
    with aws_errors(settings, f"connecting to {service}"):
        return _client(settings, service, settings.aws_endpoint_url)


@contextmanager
def aws_errors(settings: RedshiftSettings, doing: str) -> Generator[None]:
    """Turn botocore's errors of a block into this library's.

    Args:
        settings: Name the bucket and the cluster in the messages.
        doing: What the block does, such as "uploading s3://bucket/key".

    Raises:
        TranshipError: What went wrong and what to do about it.
    """
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError as error:
        raise ConfigurationError(
            "Redshift needs boto3, which is not installed.",
            "Run: pip install 'tranship[redshift]'.",
        ) from error
    try:
        yield
    except ClientError as error:
        raise _client_error(error, settings, doing) from error
    except BotoCoreError as error:
        raise _botocore_error(error, doing) from error


def _client_error(error: Any, settings: RedshiftSettings, doing: str) -> TranshipError:
    reply = error.response.get("Error", {})
    code, message = str(reply.get("Code", "")), str(reply.get("Message", "") or error)
    operation = error.operation_name
    status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
    what = f"{doing[:1].upper()}{doing[1:]} failed"
    explained = _credentials_error(code, what) or _missing_error(code, settings, what)
    if explained is None and (code in DENIED or code.startswith("KMS.")):
        explained = ConnectionFailedError(
            f"{what}: AWS denies {operation} to these credentials: {message}",
            _missing_right(settings, operation, f"{code} {message}"),
        )
    if explained is None and (code in THROTTLED or status >= 500):
        explained = TransientError(
            f"{what}: AWS answered {code or status} to {operation} {REQUEST_ATTEMPTS} times: {message}",
            "Run it again in a few minutes.",
        )
    if explained is None:
        explained = WriteFailedError(f"{what}: {code}: {message}")
    explained.details |= {"aws_error": code, "aws_operation": operation}
    return explained


def _credentials_error(code: str, what: str) -> ConnectionFailedError | None:
    """The error where AWS does not take who asks."""
    if code in EXPIRED:
        return ConnectionFailedError(
            f"{what}: the AWS credentials have expired.",
            "Sign in again (aws sso login), or renew the session token in the environment.",
        )
    if code in UNKNOWN_KEYS:
        return ConnectionFailedError(
            f"{what}: AWS does not accept these credentials ({code}).",
            "Check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and AWS_SESSION_TOKEN, or the profile.",
        )
    return None


def _missing_error(code: str, settings: RedshiftSettings, what: str) -> ConfigurationError | None:
    """The error where bucket, cluster or workgroup is not there, or elsewhere."""
    if code == "NoSuchBucket":
        return ConfigurationError(
            f"{what}: there is no bucket {settings.bucket_name!r}.",
            "Create it in the cluster's region, or correct bucket_name.",
        )
    if code in WRONG_REGION:
        return ConfigurationError(
            f"{what}: the bucket {settings.bucket_name!r} is in another region than {settings.region_name}.",
            "Use a bucket in the cluster's region: COPY of Parquet cannot cross regions.",
        )
    if code.startswith("ClusterNotFound") or code == "ResourceNotFoundException":
        name = settings.cluster_identifier or settings.workgroup
        kind = "cluster" if settings.cluster_identifier else "workgroup"
        return ConfigurationError(
            f"{what}: there is no {kind} {name!r} in {settings.region_name or 'the default region'}.",
            f"Check {'cluster_identifier' if kind == 'cluster' else 'workgroup'} and region_name.",
        )
    return None


def _missing_right(settings: RedshiftSettings, operation: str, message: str) -> str:
    if "kms" in message.lower():
        return (
            "Allow kms:GenerateDataKey and kms:Decrypt on the bucket's key to them, in their IAM policy and in the "
            "key's, and see that the key is enabled; s3_encryption and kms_key_id choose another one."
        )
    if operation.startswith("GetClusterCredentials"):
        rights = ["redshift:GetClusterCredentials"]
        rights += ["redshift:CreateClusterUser"] if settings.auto_create else []
        rights += ["redshift:JoinGroup"] if settings.db_groups else []
        return f"Allow {', '.join(rights)} in their IAM policy."
    remedy = (
        "Allow it in their IAM policy. Staging needs s3:PutObject, s3:GetObject, s3:DeleteObject, "
        "s3:AbortMultipartUpload and s3:ListBucket; signing in redshift:GetClusterCredentials."
    )
    uploads = operation in {"PutObject", "CreateMultipartUpload", "UploadPart"}
    if uploads and settings.s3_encryption is None:
        remedy += " Where the bucket's policy denies uploads without an encryption header, set s3_encryption."
    return remedy


def _botocore_error(error: Any, doing: str) -> TranshipError:
    what = f"{doing[:1].upper()}{doing[1:]} failed"
    kind = type(error).__name__
    if kind in {"NoCredentialsError", "PartialCredentialsError", "CredentialRetrievalError"}:
        return ConnectionFailedError(
            f"{what}: there are no AWS credentials ({error}).",
            "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, a profile, or run with an instance role.",
        )
    if kind in {"TokenRetrievalError", "SSOTokenLoadError", "UnauthorizedSSOTokenError"}:
        return ConnectionFailedError(
            f"{what}: the single sign-on session has ended.", "Run aws sso login."
        )
    if kind == "NoRegionError":
        return ConfigurationError(f"{what}: no AWS region is set.", "Set region_name.")
    if kind in {"EndpointConnectionError", "ConnectTimeoutError", "ProxyConnectionError"}:
        return UnreachableError(f"{what}: {error}", "Check the endpoint address and the network.")
    if kind in {
        "ConnectionClosedError",
        "ReadTimeoutError",
        "IncompleteReadError",
        "HTTPClientError",
    }:
        return TransientError(f"{what}: {error}")
    return ConfigurationError(f"{what}: {error}")


def _client(settings: RedshiftSettings, service: str, endpoint: str | None) -> Any:
    from boto3.session import Session
    from botocore.config import Config

    session: Any = Session(region_name=settings.region_name)
    config: Any = Config(
        max_pool_connections=UPLOAD_CONNECTIONS,
        retries={"mode": "standard", "total_max_attempts": REQUEST_ATTEMPTS},
    )
    client = session.client(service, endpoint_url=endpoint, config=config)
    # The endpoint may be of boto3's own finding (AWS_ENDPOINT_URL), so that only the client knows it.
    fitting = _fitting(client.meta.endpoint_url)
    if not fitting:
        return client
    return session.client(service, endpoint_url=endpoint, config=config.merge(Config(**fitting)))


def _fitting(endpoint: str) -> dict[str, Any]:
    """What a client of an endpoint needs that is not Amazon's."""
    options: dict[str, Any] = {}
    if AMAZON not in endpoint:
        # Other S3 servers rarely answer to one host name for each bucket.
        options["s3"] = {"addressing_style": "path"}
    if is_here(urlsplit(endpoint).netloc):
        # No proxy reaches what listens on this machine alone, and few people have it in no_proxy.
        options["proxies"] = {}
    return options
