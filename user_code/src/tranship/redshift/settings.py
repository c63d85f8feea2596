"""What it takes to reach a Redshift and the bucket it loads from: one immutable value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from tranship.errors import ConfigurationError

MEGABYTE = 1_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class RedshiftSettings:
    """Where Redshift and its staging bucket are, and how loads behave.

    AWS credentials come from boto3's own chain (environment, profile, SSO, instance role); none are
    kept here. The database password is either given, or temporary and fetched for each connection:
    `GetClusterCredentials` for `cluster_identifier` and `user`, `GetClusterCredentialsWithIAM` without
    `user`, `GetCredentials` of Redshift Serverless for `workgroup`.

    Args:
        database: Database to connect to.
        bucket_name: Bucket for staged files. It must be in the cluster's region: COPY of Parquet cannot
            cross regions.
        s3_iam_role: ARN of the role that Redshift reads and writes the bucket with, or `default`.
        region_name: AWS region; boto3's own default where it is `None`.
        cluster_identifier: Name of a provisioned cluster.
        workgroup: Name of a serverless workgroup.
        user: Database user.
        password: Password of `user`; temporary credentials are fetched where it is `None`.
        host: Address of the database; looked up from the cluster or workgroup where it is `None`.
        port: TCP port.
        s3_prefix: Key prefix under which files are staged.
        s3_encryption: Header that uploads carry, where the bucket's policy asks for one: `AES256`, `aws:kms` or
            `aws:kms:dsse`. Without it S3 encrypts as the bucket is set.
        kms_key_id: Key of `aws:kms`, for uploads and for UNLOAD; without it the bucket's own.
        auto_create: Whether `GetClusterCredentials` creates `user` where it is missing.
        db_groups: Groups that `user` joins for a session of temporary credentials.
        s3_endpoint_url: Address of S3, where it is not Amazon's.
        aws_endpoint_url: Address of the Redshift and Redshift Serverless APIs, where it is not Amazon's.
        sslmode: libpq's sslmode. By default `verify-full`, and on this machine (loopback addresses, sockets)
            `prefer`, which verifies nothing.
        ssl_root_cert: File of certificate authorities for `verify-full`. By default certifi's, which
            has Amazon's.
        connect_timeout_seconds: How long one connection attempt may take.
        answer_timeout_seconds: How long a call may wait for a cluster that says nothing before the connection is
            given up; 0 waits for ever. A cluster that is gone is noticed within two minutes.
        max_part_bytes: Size at which a staged file is closed and the next one begun.
        compression: Parquet compression: `snappy` (which Redshift documents), `zstd`, `gzip`, `none`.
        varchar_lengths: Widths of text columns in bytes, by column, instead of measured ones.
        truncate_timestamps: Cut nanoseconds to the microseconds Redshift has, instead of refusing them.
        write_lock: What writers of one table queue on. `journal`: a small table beside each target, so
            that readers never wait; `table`: the target itself, which readers wait for too.
        keep_files: Leave staged files in the bucket.
        stale_file_hours: Age at which files of writes that died are removed by the next write.
        read_via: How rows are read: `auto` (by the planner's estimate), `cursor` or `unload`.
        unload_row_threshold: Reads of more rows than this, by estimate, go through UNLOAD.
        attempts: How often a transaction is run at most while it fails for passing reasons.

    Raises:
        ConfigurationError: The settings contradict each other.

    Example:
        >>> RedshiftSettings(
        ...     database="dev", bucket_name="stage", s3_iam_role="default", host="localhost", user="etl", password="x"
        ... ).address
        'localhost:5439/dev'
    """

    database: str
    bucket_name: str
    s3_iam_role: str
    region_name: str | None = None
    cluster_identifier: str | None = None
    workgroup: str | None = None
    user: str | None = None
    password: str | None = field(default=None, repr=False)
    host: str | None = None
    port: int = 5439
    s3_prefix: str = "tranship"
    s3_encryption: str | None = None
    kms_key_id: str | None = None
    auto_create: bool = False
    db_groups: Sequence[str] = ()
    s3_endpoint_url: str | None = None
    aws_endpoint_url: str | None = None
    sslmode: str | None = None
    ssl_root_cert: str | None = None
    connect_timeout_seconds: int = 30
    answer_timeout_seconds: float = 21_600.0
    max_part_bytes: int = 90 * MEGABYTE
    compression: str = "snappy"
    varchar_lengths: Mapping[str, int] = field(default_factory=dict)
    truncate_timestamps: bool = False
    write_lock: str = "journal"
    keep_files: bool = False
    stale_file_hours: float = 24.0
    read_via: str = "auto"
    unload_row_threshold: int = 100_000
    attempts: int = 5

    def __post_init__(self) -> None:
        if self.cluster_identifier and self.workgroup:
            raise ConfigurationError(
                "Both cluster_identifier and workgroup are set.",
                "A database is in a provisioned cluster or in a serverless workgroup: set one of them.",
            )
        if not (self.host or self.cluster_identifier or self.workgroup):
            raise ConfigurationError(
                "Nothing says where Redshift is.",
                "Set host, cluster_identifier (provisioned) or workgroup (serverless).",
            )
        if self.password is not None and not self.user:
            raise ConfigurationError(
                "A password is set, but no user.", "Set user to the database user."
            )
        if self.password is None and not (self.cluster_identifier or self.workgroup):
            raise ConfigurationError(
                f"There is no password for {self.address}, and nothing to fetch a temporary one for.",
                "Set password, or cluster_identifier or workgroup.",
            )
        if self.max_part_bytes < MEGABYTE:
            raise ConfigurationError(
                f"max_part_bytes is {self.max_part_bytes}.",
                "Give at least 1,000,000: many small files load slowly.",
            )
        if (self.auto_create or self.db_groups) and not (
            self.cluster_identifier and self.user and self.password is None
        ):
            raise ConfigurationError(
                "auto_create or db_groups is set, but no temporary credentials of a named user are fetched.",
                "They are for a cluster_identifier and a user without a password; a serverless workgroup maps its "
                "users by IAM roles.",
            )
        if self.s3_encryption is not None:
            _one_of("s3_encryption", self.s3_encryption, ("AES256", "aws:kms", "aws:kms:dsse"))
        if self.kms_key_id and not (self.s3_encryption or "").startswith("aws:kms"):
            raise ConfigurationError(
                f"kms_key_id is set, and s3_encryption is {self.s3_encryption!r}.",
                "Set s3_encryption to aws:kms.",
            )
        _one_of("write_lock", self.write_lock, ("journal", "table"))
        _one_of("read_via", self.read_via, ("auto", "cursor", "unload"))
        _one_of("compression", self.compression, ("snappy", "zstd", "gzip", "none"))

    @property
    def upload_headers(self) -> dict[str, str]:
        """What every upload says of its encryption, as boto3 names it."""
        headers = {"ServerSideEncryption": self.s3_encryption, "SSEKMSKeyId": self.kms_key_id}
        return {name: value for name, value in headers.items() if value}

    @property
    def address(self) -> str:
        """Where the database is, for messages."""
        where = (
            f"{self.host}:{self.port}" if self.host else self.cluster_identifier or self.workgroup
        )
        return f"{where}/{self.database}"


def _one_of(name: str, value: str, allowed: tuple[str, ...]) -> None:
    if value not in allowed:
        raise ConfigurationError(f"{name} is {value!r}.", f"It is one of {', '.join(allowed)}.")
