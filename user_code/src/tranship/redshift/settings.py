"""What it takes to reach a Redshift and the bucket it loads from: one immutable value."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Annotated

from typing_extensions import override

from tranship.errors import ConfigurationError
from tranship.secret import quiet
from tranship.settings import Setting, Settings, tcp_port
from tranship.tls import sslmode_of

MEGABYTE = 1_000_000


def _bucket(uri: str) -> str:
    """The bucket of `s3://bucket/prefix`."""
    return uri.removeprefix("s3://").partition("/")[0]


def _key_prefix(uri: str) -> str:
    """The prefix of `s3://bucket/prefix`."""
    return uri.removeprefix("s3://").partition("/")[2] or "tranship"


@dataclass(frozen=True, kw_only=True, repr=False)
class RedshiftFields:
    """What can be set of a Redshift: where it and its staging bucket are, and how loads behave."""

    host: Annotated[
        str | None,
        Setting(
            "Address; looked up from the cluster or workgroup without one.",
            "HOST",
            needed=True,
            unless=("CLUSTER", "WORKGROUP"),
        ),
    ] = None
    port: Annotated[int, Setting("TCP port.", "PORT", read=tcp_port)] = 5439
    database: Annotated[str, Setting("Database to connect to.", "DATABASE", needed=True)]
    user: Annotated[
        str | None,
        Setting(
            "Database user. Without one, the IAM identity of this process is the user.",
            "USER",
            needed=True,
            unless=("CLUSTER", "WORKGROUP"),
        ),
    ] = None
    password: Annotated[
        str | None,
        Setting(
            "Password of the user, as an EnvVar; without one, temporary credentials are fetched.",
            "PASSWORD",
            secret=True,
            needed=True,
            unless=("CLUSTER", "WORKGROUP"),
        ),
    ] = None
    cluster_identifier: Annotated[
        str | None,
        Setting(
            "Provisioned cluster. Without a password, temporary credentials are fetched for it.",
            "CLUSTER",
        ),
    ] = None
    workgroup: Annotated[
        str | None, Setting("Redshift Serverless workgroup, instead of a cluster.")
    ] = None
    bucket_name: Annotated[
        str,
        Setting(
            "S3 bucket for staged files. It must be in the cluster's region: COPY of Parquet cannot cross "
            "regions.",
            "STAGING_URI",
            needed=True,
            read=_bucket,
        ),
    ]
    s3_iam_role: Annotated[
        str,
        Setting(
            "ARN of the role that Redshift reads and writes the bucket with, or default.",
            "IAM_ROLE",
            needed=True,
        ),
    ]
    region_name: Annotated[str | None, Setting("AWS region; boto3's own default without it.")] = (
        None
    )
    s3_prefix: Annotated[
        str, Setting("Key prefix of staged files.", "STAGING_URI", read=_key_prefix)
    ] = "tranship"
    s3_encryption: Annotated[
        str | None,
        Setting(
            "Encryption header of uploads, where the bucket's policy asks for one: AES256, aws:kms or "
            "aws:kms:dsse. Without it S3 encrypts as the bucket is set."
        ),
    ] = None
    kms_key_id: Annotated[
        str | None, Setting("Key of aws:kms, for uploads and UNLOAD; without it the bucket's own.")
    ] = None
    auto_create: Annotated[
        bool,
        Setting(
            "Whether fetching temporary credentials (GetClusterCredentials) creates the user where it is missing."
        ),
    ] = False
    db_groups: Annotated[
        Sequence[str], Setting("Groups that the user joins for a session of temporary credentials.")
    ] = ()
    s3_endpoint_url: Annotated[str | None, Setting("Address of S3 where it is not Amazon's.")] = (
        None
    )
    aws_endpoint_url: Annotated[
        str | None,
        Setting("Address of the Redshift and Redshift Serverless APIs where it is not Amazon's."),
    ] = None
    sslmode: Annotated[
        str | None,
        Setting(
            "libpq's sslmode; by default verify-full, and on this machine (loopback addresses, sockets) prefer, "
            "which verifies nothing.",
            "SSLMODE",
        ),
    ] = None
    ssl_root_cert: Annotated[
        str | None,
        Setting(
            "File of certificate authorities for verify-full; by default certifi's, which has Amazon's."
        ),
    ] = None
    connect_timeout_seconds: Annotated[
        int, Setting("How long one connection attempt may take.")
    ] = 30
    answer_timeout_seconds: Annotated[
        float,
        Setting(
            "How long a call may wait for a cluster that says nothing before the connection is given up; 0 waits "
            "for ever. A cluster that is gone is noticed within two minutes."
        ),
    ] = 21_600.0
    max_part_bytes: Annotated[
        int, Setting("Size at which a staged file is closed and the next one begun.")
    ] = 90 * MEGABYTE
    compression: Annotated[
        str, Setting("Parquet compression: snappy (which Redshift documents), zstd, gzip or none.")
    ] = "snappy"
    varchar_lengths: Annotated[
        Mapping[str, int],
        Setting("Widths of text columns in bytes, by column, instead of measured ones."),
    ] = field(default_factory=dict[str, int])
    truncate_timestamps: Annotated[
        bool,
        Setting("Cut nanoseconds to the microseconds that Redshift has, instead of refusing them."),
    ] = False
    write_lock: Annotated[
        str,
        Setting(
            "What writers of one table queue on: journal, a small table beside it, so that readers never wait, or "
            "table, itself, which readers wait for too."
        ),
    ] = "journal"
    keep_files: Annotated[bool, Setting("Leave staged files in the bucket.")] = False
    stale_file_hours: Annotated[
        float, Setting("Age at which files of writes that died are removed by the next write.")
    ] = 24.0
    read_via: Annotated[
        str, Setting("How rows are read: auto (by the planner's estimate), cursor or unload.")
    ] = "auto"
    unload_row_threshold: Annotated[
        int, Setting("Reads of more rows than this, by estimate, go through UNLOAD.")
    ] = 100_000
    attempts: Annotated[
        int, Setting("How often a transaction is run at most while it fails for passing reasons.")
    ] = 5


@quiet
@dataclass(frozen=True, kw_only=True, repr=False)
class RedshiftSettings(RedshiftFields, Settings):
    """Where Redshift and its staging bucket are, and how loads behave: the fields of `RedshiftFields`, checked.

    AWS credentials come from boto3's own chain (environment, profile, SSO, instance role); none are
    kept here. The database password is either given, or temporary and fetched for each connection:
    `GetClusterCredentials` for `cluster_identifier` and `user`, `GetClusterCredentialsWithIAM` without
    `user`, `GetCredentials` of Redshift Serverless for `workgroup`.

    Raises:
        ConfigurationError: The settings contradict each other.

    Example:
        >>> RedshiftSettings(
        ...     database="dev", bucket_name="stage", s3_iam_role="default", host="localhost", user="etl", password="x"
        ... ).address
        'localhost:5439/dev'
    """

    @override
    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "db_groups", tuple(self.db_groups))
        self._check_address()
        self._check_staging()
        _one_of("write_lock", self.write_lock, ("journal", "table"))
        _one_of("read_via", self.read_via, ("auto", "cursor", "unload"))

    def _check_address(self) -> None:
        """Refuse what does not say where Redshift is, and as whom to be there."""
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
        if (self.auto_create or self.db_groups) and not (
            self.cluster_identifier and self.user and self.password is None
        ):
            raise ConfigurationError(
                "auto_create or db_groups is set, but no temporary credentials of a named user are fetched.",
                "They are for a cluster_identifier and a user without a password; a serverless workgroup maps its "
                "users by IAM roles.",
            )

    def _check_staging(self) -> None:
        """Refuse what cannot be done with the staged files."""
        if self.max_part_bytes < MEGABYTE:
            raise ConfigurationError(
                f"max_part_bytes is {self.max_part_bytes}.",
                "Give at least 1,000,000: many small files load slowly.",
            )
        if self.s3_encryption is not None:
            _one_of("s3_encryption", self.s3_encryption, ("AES256", "aws:kms", "aws:kms:dsse"))
        if self.kms_key_id and not (self.s3_encryption or "").startswith("aws:kms"):
            raise ConfigurationError(
                f"kms_key_id is set, and s3_encryption is {self.s3_encryption!r}.",
                "Set s3_encryption to aws:kms.",
            )
        _one_of("compression", self.compression, ("snappy", "zstd", "gzip", "none"))

    @classmethod
    @override
    def of_deployment(cls, environment: Mapping[str, str], prefix: str) -> dict[str, object]:
        return {"sslmode": sslmode_of(environment, prefix)}

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
