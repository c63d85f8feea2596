"""The fields that the Redshift resource and IO managers share, as Dagster configuration.

The article's fields keep their names: `region_name`, `cluster_identifier`, `user`, `database`, `host`, `port`,
`s3_iam_role`, `bucket_name`.
"""

import dagster as dg
from pydantic import Field, PrivateAttr

from tranship.redshift.credentials import CredentialsSource
from tranship.redshift.settings import MEGABYTE, RedshiftSettings


class RedshiftConfig(dg.Config):
    """Where Redshift and its staging bucket are."""

    database: str = Field(description="Database to connect to.")
    bucket_name: str = Field(
        description="S3 bucket for staged files; it must be in the cluster's region."
    )
    s3_iam_role: str = Field(
        description="ARN of the role with which Redshift reads and writes the bucket, or `default`."
    )
    region_name: str | None = Field(
        default=None, description="AWS region; boto3's own default without it."
    )
    cluster_identifier: str | None = Field(
        default=None,
        description="Provisioned cluster. Without a password, temporary credentials are fetched for it.",
    )
    workgroup: str | None = Field(
        default=None, description="Redshift Serverless workgroup, instead of a cluster."
    )
    user: str | None = Field(
        default=None,
        description="Database user. Without one, the IAM identity of this process is the user.",
    )
    password: str | None = Field(
        default=None,
        repr=False,
        description="Password of the user, as dagster.EnvVar; without one, temporary credentials are "
        "fetched.",
    )
    host: str | None = Field(
        default=None, description="Address; looked up from the cluster or workgroup without one."
    )
    port: int = Field(default=5439, description="TCP port.")
    s3_prefix: str = Field(default="tranship", description="Key prefix of staged files.")
    s3_encryption: str | None = Field(
        default=None,
        description="Encryption header of uploads, where the bucket's policy asks for one: AES256, aws:kms or "
        "aws:kms:dsse.",
    )
    kms_key_id: str | None = Field(
        default=None,
        description="Key of aws:kms, for uploads and UNLOAD; by default the bucket's own.",
    )
    auto_create: bool = Field(
        default=False,
        description="Whether fetching temporary credentials creates the user where it is missing.",
    )
    db_groups: list[str] = Field(
        default_factory=list,
        description="Groups that the user joins for a session of temporary credentials.",
    )
    s3_endpoint_url: str | None = Field(
        default=None, description="Address of S3 where it is not Amazon's."
    )
    aws_endpoint_url: str | None = Field(
        default=None, description="Address of the Redshift API where it is not Amazon's."
    )
    sslmode: str | None = Field(
        default=None,
        description="libpq's sslmode; by default verify-full, and prefer on this machine.",
    )
    ssl_root_cert: str | None = Field(
        default=None, description="File of certificate authorities; by default certifi's."
    )
    connect_timeout_seconds: int = Field(default=30, description="Limit for one connection.")
    answer_timeout_seconds: float = Field(
        default=21_600.0,
        description="How long a call may wait for a cluster that says nothing; 0 waits for ever.",
    )
    max_part_bytes: int = Field(
        default=90 * MEGABYTE, description="Size at which a staged file is closed."
    )
    compression: str = Field(
        default="snappy", description="Parquet compression: snappy, zstd, gzip or none."
    )
    varchar_lengths: dict[str, int] = Field(
        default_factory=dict,
        description="Widths of text columns in bytes, instead of measured ones.",
    )
    truncate_timestamps: bool = Field(
        default=False, description="Cut nanoseconds off instead of refusing them."
    )
    write_lock: str = Field(
        default="journal",
        description="What writers of one table queue on: `journal`, a small table beside it, or "
        "`table`, itself, which makes readers wait too.",
    )
    keep_files: bool = Field(default=False, description="Leave staged files in the bucket.")
    stale_file_hours: float = Field(
        default=24.0, description="Age at which files of dead writes are removed by the next one."
    )
    read_via: str = Field(default="auto", description="How rows are read: auto, cursor or unload.")
    unload_row_threshold: int = Field(
        default=100_000, description="Reads of more rows than this go through UNLOAD."
    )
    attempts: int = Field(
        default=5, description="How often a transaction is run at most for passing faults."
    )

    _source: CredentialsSource | None = PrivateAttr(default=None)

    def settings(self) -> RedshiftSettings:
        """These fields as the library's own settings.

        Raises:
            ConfigurationError: They contradict each other.
        """
        return RedshiftSettings(
            **{name: getattr(self, name) for name in RedshiftConfig.model_fields}
        )

    def credentials(self) -> CredentialsSource:
        """One source of credentials for everything this object does."""
        if self._source is None:
            self._source = CredentialsSource(self.settings())
        return self._source
