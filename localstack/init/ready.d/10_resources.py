"""Makes what the stack expects of AWS: buckets, the role that Redshift loads with, and a cluster's record.

LocalStack runs this once it serves; `GET /_localstack/init` tells whether it succeeded, and the container's health
check asks that. The demo runs it against moto, at `AWS_ENDPOINT_URL`.
"""

import json
import os
import secrets
from collections.abc import Callable

import boto3
from botocore.exceptions import ClientError

ENDPOINT = os.environ.get("AWS_ENDPOINT_URL", "http://127.0.0.1:4566")
REGION = os.environ.get("AWS_DEFAULT_REGION", "us-east-1")
ROLE = "tranship-redshift"
CLUSTER = "tranship"
# A write that is killed leaves an unfinished upload, which is in no listing and still costs storage.
LIFECYCLE = {
    "Rules": [
        {
            "ID": "tranship-staging",
            "Status": "Enabled",
            "Filter": {"Prefix": "tranship/"},
            "AbortIncompleteMultipartUpload": {"DaysAfterInitiation": 1},
            "Expiration": {"Days": 7},
        }
    ]
}
TRUST = {
    "Version": "2012-10-17",
    "Statement": [
        {
            "Effect": "Allow",
            "Principal": {"Service": "redshift.amazonaws.com"},
            "Action": "sts:AssumeRole",
        }
    ],
}


def main() -> None:
    """Make each thing that is not there yet."""
    # LocalStack takes any keys; boto3 wants some.
    account = {
        "aws_access_key_id": "local",
        "aws_secret_access_key": "local",
        "region_name": REGION,
    }
    s3 = boto3.client("s3", endpoint_url=ENDPOINT, **account)
    iam = boto3.client("iam", endpoint_url=ENDPOINT, **account)
    present = {bucket["Name"] for bucket in s3.list_buckets()["Buckets"]}
    for name in os.environ["TRANSHIP_BUCKETS"].split():
        if name not in present:
            s3.create_bucket(Bucket=name)
        s3.put_bucket_lifecycle_configuration(Bucket=name, LifecycleConfiguration=LIFECYCLE)
    redshift = boto3.client("redshift", endpoint_url=ENDPOINT, **account)
    unless_there(iam.create_role, RoleName=ROLE, AssumeRolePolicyDocument=json.dumps(TRUST))
    # A record only, which hands out temporary credentials; the database is the stand-in's.
    unless_there(
        redshift.create_cluster,
        ClusterIdentifier=CLUSTER,
        NodeType="ra3.large",
        ClusterType="single-node",
        DBName=os.environ.get("REDSHIFT_DATABASE", "dev"),
        MasterUsername=os.environ.get("REDSHIFT_USER", "awsuser"),
        MasterUserPassword=f"Aa1{secrets.token_urlsafe(16)}",
    )


def unless_there(create: Callable[..., object], **settings: object) -> None:
    """Make a thing; that it is there already is as good."""
    try:
        create(**settings)
    except ClientError as error:
        if error.response["Error"]["Code"] not in {"EntityAlreadyExists", "ClusterAlreadyExists"}:
            raise


main()
