"""Columns whose values must not arrive in the target: hashed under a key, or redacted.

Hashing keeps joins and counts: equal values give equal digests. Plain digests of e-mail addresses or
telephone numbers are found by trying them all, so the digest is an HMAC under a key that only the
deployment knows (https://csrc.nist.gov/pubs/fips/198-1/final).
"""

import hashlib
import hmac

import pyarrow as pa

from tranship.equality import TextEquality
from tranship.errors import ConfigurationError
from tranship.tables import is_binary, is_text

REDACTED = "***"
KEY_VARIABLE = "TRANSHIP_MASK_KEY"
DIGEST = pa.large_string()


def hashed(array: pa.Array, key: bytes, equality: TextEquality | None = None) -> pa.Array:
    """HMAC-SHA-256 of each value as hexadecimal text; null stays null.

    Texts are hashed as UTF-8, bytes as they are, other values as Arrow writes them. Texts that the source takes
    for the same get the same digest, that of their fold, so far as it is known which those are.

    Args:
        array: The values.
        key: The deployment's secret.
        equality: Which texts are the same; `None` where bytes tell.

    Example:
        >>> hashed(pa.array(["a", None, "a"]), b"key")[0].as_py()[:8]
        '780c3db4'
    """
    plain = array if is_text(array.type) or is_binary(array.type) else array.cast(pa.string())
    # A column of a million rows has far fewer different values, and hashing is all the cost there is.
    encoded = plain.dictionary_encode()
    digests = [
        None if value is None else _digest(_same(value, equality), key)
        for value in encoded.dictionary.to_pylist()
    ]
    return pa.array(digests, DIGEST).take(encoded.indices)


def _same(value: str | bytes, equality: TextEquality | None) -> str | bytes:
    if equality is None or isinstance(value, bytes) or not equality.knows(value):
        return value
    return equality.fold(value)


def _digest(value: str | bytes, key: bytes) -> str:
    message = value.encode() if isinstance(value, str) else value
    return hmac.new(key, message, hashlib.sha256).hexdigest()


def redacted(array: pa.Array) -> pa.Array:
    """Texts as `***` where there was one; nothing at all of other values.

    Example:
        >>> redacted(pa.array(["secret", None])).to_pylist(), redacted(pa.array([1])).to_pylist()
        (['***', None], [None])
    """
    if not is_text(array.type):
        return pa.nulls(len(array), array.type)
    there = array.is_valid().cast(pa.int8())
    return pa.array([None, REDACTED], pa.large_string()).take(there)


def mask_key(value: str | None) -> bytes:
    """The deployment's secret for hashing.

    Args:
        value: The variable's value.

    Raises:
        ConfigurationError: There is none.
    """
    if not value:
        raise ConfigurationError(
            f"Columns are masked by hash, and {KEY_VARIABLE} is not set.",
            f"Set {KEY_VARIABLE} to a long random text, and keep it: another one gives other digests.",
        )
    return value.encode()
