"""What Redshift's errors mean that pass: by SQLSTATE, or by words, as Redshift sends most of its own as XX000."""

from tranship.known_faults import KnownFault

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
