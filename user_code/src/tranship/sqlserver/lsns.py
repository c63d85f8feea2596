"""Log sequence numbers of SQL Server: ten bytes, here as one number, which grows from commit to commit.

https://learn.microsoft.com/sql/relational-databases/system-functions/sys-fn-cdc-increment-lsn-transact-sql
"""

_BYTES = 10


def from_bytes(lsn: bytes) -> int:
    """A number as the server gives it.

    Example:
        >>> from_bytes(bytes.fromhex("0000002a000000010001")) == 0x2A000000010001
        True
    """
    return int.from_bytes(lsn, "big")


def increment(lsn: int) -> int:
    """The next one, where the interval begins that follows one which ended here."""
    return lsn + 1


def to_literal(lsn: int) -> str:
    """A number in a statement.

    Example:
        >>> to_literal(0x2A000000010001)
        '0x0000002a000000010001'
    """
    return f"0x{lsn.to_bytes(_BYTES, 'big').hex()}"


def shown(lsn: int) -> str:
    """A number as the server's own messages and tools write it.

    Example:
        >>> shown(0x2A000000010001)
        'LSN 0000002a:00000001:0001'
    """
    digits = lsn.to_bytes(_BYTES, "big").hex()
    return f"LSN {digits[:8]}:{digits[8:16]}:{digits[16:]}"
