"""Names that every system takes: an ASCII form that can be read back, one that fits, and one in another style.

A database lets a table be called anything; Dagster's keys and file names, and Postgres's sixty-three bytes, do not.
"""

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Hashable, Iterable
from enum import StrEnum
from typing import TypeVar

Named = TypeVar("Named", bound=Hashable)

_DIGEST_LENGTH = 8
_ESCAPE = re.compile(r"_x([0-9A-F]{4,6})_")
_LIKE_AN_ESCAPE = re.compile(r"_(?=x[0-9A-F]{4})")


class NameStyle(StrEnum):
    """How a table of the source is called in the target."""

    KEEP = "keep"
    """As in the source."""
    SNAKE = "snake"
    """Lower case, with an underscore between words and for all that is no letter or digit."""
    LOWER = "lower"
    """Lower case, else as in the source."""


def key_part(text: str) -> str:
    """A part of an asset key: as it is where Dagster takes it, else with escapes that `decoded` reads back.

    Dagster makes Python names of asset keys, in which it knows what to do with dots and dashes, and with no other
    sign. The escapes are those of SQL Server's FOR XML
    (https://learn.microsoft.com/sql/relational-databases/xml/columns-with-a-name-specified-as-a-wildcard-character).

    Example:
        >>> key_part("Order Details"), key_part("a-b.c")
        ('Order_x0020_Details', 'a-b.c')
    """
    return _escaped(text, "_-.")


def identifier(*parts: str) -> str:
    """A name of ASCII letters, digits and underscores, as ops, groups and mapping keys have them.

    Example:
        >>> identifier("dbo", "Größe"), identifier("dbo", "a-b")
        ('dbo_Gr_x00F6__x00DF_e', 'dbo_a_x002D_b')
    """
    return "_".join(_escaped(part, "_") for part in parts)


def decoded(text: str) -> str:
    """The name that `key_part` or `identifier` made a text of.

    Example:
        >>> decoded(key_part("CRONUS$Sales Header"))
        'CRONUS$Sales Header'
    """
    return _ESCAPE.sub(lambda escape: chr(int(escape[1], 16)), text)


def distinct(
    named: Iterable[Named], form: Callable[[Named], str], exact: Callable[[Named], str] = repr
) -> dict[Named, str]:
    """A form of each name, with a digest of the whole name where two would have the same one.

    A form that the name itself has already, letter by letter, is left to it.

    Args:
        named: The names; each counts once.
        form: Makes the form of a name.
        exact: What tells names apart.

    Example:
        >>> pairs = [("a_b", "c"), ("a", "b_c"), ("a", "d")]
        >>> list(distinct(pairs, lambda pair: identifier(*pair)).values())
        ['a_b_c_ade620e3', 'a_b_c_a49bb991', 'a_d']
    """
    forms = {one: form(one) for one in named}
    times = Counter(forms.values())
    return {
        one: text if times[text] == 1 or exact(one) == text else f"{text}_{digest(exact(one))}"
        for one, text in forms.items()
    }


def shortened(name: str, longest_bytes: int) -> str:
    """A name as it is where it fits, else its beginning and a digest of all of it.

    Args:
        name: The name.
        longest_bytes: How many bytes of UTF-8 there is room for.

    Example:
        >>> shortened("DimDate", 63), shortened("a" * 70, 20)
        ('DimDate', 'aaaaaaaaaaa_6bd5e503')
    """
    if len(name.encode()) <= longest_bytes:
        return name
    room = longest_bytes - _DIGEST_LENGTH - 1
    return f"{name.encode()[:room].decode(errors='ignore')}_{digest(name)}"


def digest(text: str) -> str:
    """A few letters that stand for a text."""
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()[:_DIGEST_LENGTH]


def styled(name: str, style: NameStyle) -> str:
    """A name in another style.

    Example:
        >>> [styled(name, NameStyle.SNAKE) for name in ("FactInternetSales", "HTTPLog", "CRONUS$Sales Header")]
        ['fact_internet_sales', 'http_log', 'cronus_sales_header']
        >>> styled("Order Details", NameStyle.LOWER)
        'order details'
    """
    if style is NameStyle.KEEP:
        return name
    if style is NameStyle.LOWER:
        return name.lower()
    return _snake(name) or _snake(identifier(name)) or name


def _snake(name: str) -> str:
    words = "".join(
        f"_{sign}" if _begins_word(name[:position][-1:], sign, name[position + 1 :][:1]) else sign
        for position, sign in enumerate(name)
    )
    return re.sub(r"[\W_]+", "_", words).strip("_").lower()


def _begins_word(before: str, sign: str, after: str) -> bool:
    """Whether a capital begins a word: after a small letter or digit, or as the last one of a row of them."""
    if not sign.isupper() or not before:
        return False
    return before.islower() or before.isdigit() or (before.isupper() and after.islower())


def _escaped(text: str, kept: str) -> str:
    if all(_is_kept(sign, kept) for sign in text):
        return text
    # Of a name that has escapes anyhow, what only looks like one is escaped too.
    return "".join(
        sign if _is_kept(sign, kept) else f"_x{ord(sign):04X}_"
        for sign in _LIKE_AN_ESCAPE.sub("_x005F_", text)
    )


def _is_kept(sign: str, kept: str) -> bool:
    return sign.isascii() and (sign.isalnum() or sign in kept)
