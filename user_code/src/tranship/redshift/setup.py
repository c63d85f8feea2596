"""What is set up once for a staging bucket, by a person or a deployment script."""

# boto3 and botocore have no stubs of their own.
# pyright: reportMissingTypeStubs=false

from typing import Any

from tranship.redshift.aws import aws_errors, s3_client
from tranship.redshift.settings import RedshiftSettings

RULE = "tranship-staging"


def set_up_bucket(
    settings: RedshiftSettings, *, incomplete_upload_days: int = 1, file_days: int = 7
) -> None:
    """Give the bucket a lifecycle rule for what killed writes leave behind.

    A write that is killed leaves an incomplete multipart upload, which costs storage and is in no
    listing, and staged files. The rule ends both; other rules of the bucket stay as they are.

    Args:
        settings: The bucket and the prefix.
        incomplete_upload_days: Days after which unfinished uploads are dropped.
        file_days: Days after which staged files are deleted; writes themselves delete theirs at once.

    Raises:
        ConfigurationError: There is no such bucket.
        ConnectionFailedError: These credentials may not change it (s3:PutLifecycleConfiguration).
    """
    client = s3_client(settings)
    with aws_errors(settings, f"setting up the bucket {settings.bucket_name}"):
        rules = [rule for rule in _rules(client, settings.bucket_name) if rule.get("ID") != RULE]
        rules.append(
            {
                "ID": RULE,
                "Status": "Enabled",
                "Filter": {"Prefix": settings.s3_prefix.strip("/") + "/"},
                "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": incomplete_upload_days},
                "Expiration": {"Days": file_days},
            }
        )
        client.put_bucket_lifecycle_configuration(
            Bucket=settings.bucket_name, LifecycleConfiguration={"Rules": rules}
        )


def _rules(client: Any, bucket: str) -> list[dict[str, Any]]:
    from botocore.exceptions import ClientError

    try:
        return client.get_bucket_lifecycle_configuration(Bucket=bucket)["Rules"]
    except ClientError as error:
        if error.response["Error"]["Code"] == "NoSuchLifecycleConfiguration":
            return []
        raise
