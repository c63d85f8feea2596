"""Log sequence numbers: ten bytes, those of later commits greater.

docs/relational-databases/system-functions/sys-fn-cdc-increment-lsn-transact-sql.md of MicrosoftDocs/sql-docs.
"""

LENGTH = 10
ZERO = bytes(LENGTH)
"""What `sys.fn_cdc_get_min_lsn` gives for an instance that is none, and for one that the login may not see."""
_FILE = 0x2A << 48
_SLOT = 1


def of_commit(number: int) -> bytes:
    """The number of the log's n-th record of a commit: virtual log file, block, slot."""
    return (_FILE + (number << 16) + _SLOT).to_bytes(LENGTH, "big")


def number_of(lsn: bytes) -> int:
    """Which record of a commit a number is of."""
    return (int.from_bytes(lsn, "big") - _FILE) >> 16


def within(lsn: bytes, position: int) -> bytes:
    """`__$seqval` of a transaction's change: where in the log it is, which is before the commit; orders changes of one commit only."""
    return (int.from_bytes(lsn, "big") - (1 << 16) + position).to_bytes(LENGTH, "big")


def written(lsn: bytes) -> str:
    """A number as SQL Server's messages write it, parts apart by colons."""
    digits = lsn.hex()
    return f"0x{digits[:8]}:{digits[8:16]}:{digits[16:]}"


def literal(lsn: bytes | None) -> str:
    """A number in DuckDB text."""
    return "cast(null as blob)" if lsn is None else f"unhex('{lsn.hex()}')"
