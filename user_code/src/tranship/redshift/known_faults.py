"""What Redshift's errors mean: faults that pass, by SQLSTATE or by words, as Redshift sends most of its own as XX000; and what S3 and KMS answered it.

COPY and UNLOAD repeat S3's answer in the primary message (`S3ServiceException:...,Status 403,Error AccessDenied,...`);
the Parquet reader puts it into the context of a scan error. Neither is a matter of the staged rows.
https://docs.aws.amazon.com/redshift/latest/dg/s3serviceexception-error.html
"""

import re
from dataclasses import dataclass

from tranship.errors import ConfigurationError
from tranship.known_faults import KnownFault
from tranship.redshift.settings import RedshiftSettings

_CODES = "https://www.postgresql.org/docs/current/errcodes-appendix.html"
_SERIAL = (
    "https://docs.aws.amazon.com/redshift/latest/dg/"
    "c_serial_isolation-serializable-isolation-troubleshooting.html"
)
_CATALOGUE = "https://docs.aws.amazon.com/redshift/latest/dg/c_serial_isolation.html"
_RACES = "https://github.com/dbt-labs/dbt-adapters/issues/617"
_CONFLICTS = "https://github.com/dbt-labs/dbt-adapters/issues/626"
_S3 = "https://docs.aws.amazon.com/redshift/latest/dg/s3serviceexception-error.html"
_THROTTLING = "https://docs.aws.amazon.com/redshift/latest/APIReference/CommonErrors.html"
_LIMITS = "https://docs.aws.amazon.com/redshift/latest/mgmt/amazon-redshift-limits.html"
_MAINTENANCE = (
    "https://docs.aws.amazon.com/redshift/latest/mgmt/managing-cluster-considerations.html"
)

PASSING = (
    KnownFault(("40001",), "The transaction could not be serialized with others", _CODES),
    KnownFault(("40P01",), "A deadlock was broken by ending this transaction", _CODES),
    KnownFault(("53300",), "The cluster has no connection left", _LIMITS),
    KnownFault(("55P03",), "A lock could not be had in time", _CODES),
    KnownFault(
        ("57P01",), "An administrator ended the session, or the cluster is restarting", _CODES
    ),
    KnownFault(("57P02",), "The cluster crashed and is recovering", _CODES),
    KnownFault(("57P03",), "The cluster is starting up", _CODES),
    KnownFault(
        ("1023",), "Another transaction wrote to the same table", _SERIAL,
        words=r"^1023\b|serializable isolation violation",
    ),
    KnownFault(
        ("1018",), "Another transaction dropped or replaced a table meanwhile", _SERIAL,
        words=r"^1018\b|\b1018 detail: relation does not exist",
    ),
    KnownFault(
        ("XX000",), "Another transaction dropped or replaced a table meanwhile", _RACES,
        words=r"(could|can) ?not open relation with oid|relation with oid \d+ does not exist|"
        r"dropped by concurrent transaction|cache lookup failed for relation",
    ),
    KnownFault(
        ("XX000",), "Another transaction changed the same table", _CONFLICTS,
        words=r"conflict with concurrent transaction|"
        r"tuple concurrently (updated|deleted)|concurrent (update|delete) on",
    ),
    KnownFault(
        ("XX000",), "A deadlock was broken by ending this transaction", _CATALOGUE,
        words=r"deadlock detected",
    ),
    KnownFault(
        ("XX000",), "S3 is throttling", _S3,
        words=r"slow ?down|reduce your request rate|status 50[03]|serviceunavailable|internalerror,",
    ),
    KnownFault(
        ("XX000",), "AWS is throttling", _THROTTLING,
        words=r"throttl|rate exceeded|too many requests",
    ),
    KnownFault(
        ("XX000",), "The cluster has no connection left", _LIMITS,
        words=r"connection limit|too many connections",
    ),
    KnownFault(
        ("XX000",), "The cluster is in maintenance", _MAINTENANCE,
        words=r"(cluster|workgroup) is (currently )?(in maintenance|being resized|being modified|restarting|resizing)|"
        r"aborted due to cluster restart",
    ),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Refusal:
    """One kind of answer.

    Args:
        pattern: What its text has in it.
        why: What it means; `{role}` and `{bucket}` are filled in.
        remedy: What helps.
    """

    pattern: re.Pattern[str]
    why: str
    remedy: str


def _refusal(pattern: str, why: str, remedy: str) -> _Refusal:
    return _Refusal(re.compile(pattern, re.IGNORECASE | re.DOTALL), why, remedy)


_OF_S3 = re.compile(
    r"S3ServiceException|S3 Query Exception|HTTP response error code|S3 prefix '|Mandatory url is not|"
    r"not authorized to (assume|get credentials|perform)|"
    r"\bs3\b.*Access ?Denied|Access ?Denied.*\bs3\b|must be addressed using",
    re.IGNORECASE,
)
"""What every one of these texts has; others may speak of keys, regions and denials of their own."""
_ADDRESSES = re.compile(r"(s3|https?)://\S+")

# From the most particular to the most general: KMS refuses with S3's AccessDenied too.
_REFUSALS = (
    _refusal(
        r"not authorized to (assume|get credentials of) (the )?(iam )?role",
        "Redshift may not use the role {role}",
        "Attach the role to the cluster, and let redshift.amazonaws.com assume it.",
    ),
    # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html: reading needs kms:Decrypt,
    # writing kms:GenerateDataKey, and an upload in parts both.
    _refusal(
        r"\bkms:\w+|\bKMS\.\w+Exception|KMS key|ciphertext refers to a customer master key",
        "the bucket {bucket!r} is encrypted with a KMS key that the role {role} may not use",
        "Allow kms:Decrypt, and for reading back kms:GenerateDataKey, on that key to the role, in its policy and "
        "in the key's; and see that the key is enabled and in the bucket's region.",
    ),
    _refusal(
        r"PermanentRedirect|must be addressed using the specified endpoint|Status 301|"
        r"AuthorizationHeaderMalformed|IllegalLocationConstraint|region '[^']*' is wrong",
        "the bucket {bucket!r} is in another region than the cluster",
        "Use a bucket in the cluster's region: COPY of Parquet cannot cross regions, and takes no REGION.",
    ),
    _refusal(
        r"NoSuchBucket|specified bucket does not exist",
        "there is no bucket {bucket!r} for Redshift",
        "Create it in the cluster's region, or correct bucket_name.",
    ),
    _refusal(
        r"NoSuchKey|specified key does not exist|S3 prefix '[^']*' does not exist|Mandatory url is not present",
        "a staged file was gone from the bucket {bucket!r} before Redshift read it",
        "See what else deletes under s3_prefix (a lifecycle rule, another deployment with the same prefix), then "
        "run the write again; the old rows are untouched.",
    ),
    _refusal(
        r"ExpiredToken|token has expired|InvalidAccessKeyId|SignatureDoesNotMatch|RequestTimeTooSkewed",
        "S3 does not accept the credentials that Redshift has for the role {role}",
        "See that the role still exists and is attached to the cluster; then run the write again.",
    ),
    _refusal(
        r"Access ?Denied|Status 403|HTTP response error code: 403|\bForbidden\b",
        "Redshift cannot use the bucket {bucket!r} with the role {role}",
        "Allow s3:GetObject, s3:ListBucket (and s3:PutObject for reading back) on it to the role. Where the bucket's "
        "policy asks for encryption, set s3_encryption; a VPC endpoint's policy may deny as well.",
    ),
    _refusal(
        r"S3ServiceException|HTTP response error code",
        "S3 refused Redshift the bucket {bucket!r}",
        "Look the error's code up among S3's error responses.",
    ),
)


def refused_by_s3(what: str, message: str, settings: RedshiftSettings) -> ConfigurationError | None:
    """The error for a statement that S3, KMS or IAM refused; `None` where it is of another kind.

    Args:
        what: What failed, such as "The replace of public.a failed".
        message: Redshift's words, the primary message first.
        settings: The bucket and the role.
    """
    if _OF_S3.search(message) is None:
        return None
    plain = _ADDRESSES.sub("", message)  # a bucket or a key may be called as one of the errors
    for refusal in _REFUSALS:
        if refusal.pattern.search(plain):
            why = refusal.why.format(bucket=settings.bucket_name, role=settings.s3_iam_role)
            return ConfigurationError(f"{what}: {why}: {message}", refusal.remedy)
    return None
