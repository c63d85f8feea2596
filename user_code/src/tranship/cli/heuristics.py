"""What a table's size and its columns' names suggest: small or large, when a row was changed or made, something about a person.

Only names and counts are looked at, never rows. A proposal that follows from a name is for a person to confirm.
"""

import re

SMALL_ROWS = 10_000
"""Tables of so many rows or fewer are copied whole, unless the user says otherwise."""
LARGE_ROWS = 1_000_000
"""From here on a full copy is expensive enough to propose a load of new rows alone."""
VERY_LARGE_ROWS = 20_000_000
"""From here on a table is worth partitioning."""
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+|[^\W\d_]+")
_CHANGED = frozenset(
    {
        *("modified", "modify", "modification", "mod", "moddate", "updated", "update", "upd"),
        *("changed", "change", "edited", "edit", "lastmodified", "lastupdated", "lastupdate"),
    }
)
_MADE = frozenset(
    {
        *("created", "create", "creation", "inserted", "insert", "added", "logged"),
        *("createdate", "createdat", "insertdate", "crdate"),
    }
)
_NEUTRAL = frozenset(
    {
        *("last", "date", "time", "datetime", "timestamp", "stamp", "at", "on", "utc", "gmt", "dt"),
        *("ts", "row", "record", "rec", "sys", "system", "when", "etl", "dw", "dwh", "d"),
    }
)
# With no \b at the end: names in one case run their words together (emailaddress, phonenumber).
_PERSONAL = re.compile(
    r"""\b(?:
        (?:first|last|middle|given|family|maiden|full|birth)\ ?name | sur\ ?name | fore\ ?name
      | e\ ?mail | (?:tele)?phone | mobile | cell\ ?(?:phone|number|no) | fax
      | birth | dob\b | address | street | post\ ?(?:al\ ?)?code | zip\b | zip\ ?code
      | gender | sex\b | marital | religion | ethnic | nationality
      | ssn\b | social\ ?security | national\ ?id | passport | tax\ ?(?:id|number|payer)
      | driv(?:er|ing)\w*\ ?licen[cs]e | iban | credit\ ?card | card\ ?(?:number|no\b) | cvv
      | bank\ ?account | salary | income | wage | password | pin\ ?code | ip\ ?addr
    )""",
    re.VERBOSE,
)
# A number that leads to an address, or a count of them, is not one.
_ABOUT_SOMETHING_ELSE = frozenset(
    {"key", "type", "flag", "count", "format", "promotion", "verified", "confirmed"}
)


def words(name: str) -> tuple[str, ...]:
    """The words of a name, in lower case.

    Example:
        >>> words("LastModifiedUTC"), words("birth_date"), words("NationalIDNumber")
        (('last', 'modified', 'utc'), ('birth', 'date'), ('national', 'id', 'number'))
    """
    return tuple(word.lower() for word in _WORD.findall(name))


def says_changed(name: str, table: str) -> bool:
    """Whether a column of times seems to say when its row was last changed.

    Every other word must be neutral or of the table's own name: `PriceChangedAt` is about the price.

    Example:
        >>> says_changed("OrderModifiedDate", "Orders"), says_changed("PriceChangedAt", "Orders")
        (True, False)
    """
    return _is_about_the_row(name, table, _CHANGED)


def says_made(name: str, table: str) -> bool:
    """Whether a column of times seems to say when its row was made.

    Example:
        >>> says_made("CreatedAt", "Orders"), says_made("OrderDate", "Orders")
        (True, False)
    """
    return _is_about_the_row(name, table, _MADE)


def looks_personal(name: str) -> bool:
    """Whether a column seems to hold something about a person.

    Example:
        >>> looks_personal("EmailAddress"), looks_personal("AddressTypeID"), looks_personal("Color")
        (True, False, False)
    """
    parts = words(name)
    if not parts or parts[-1] in _ABOUT_SOMETHING_ELSE:
        return False
    # A key of another table, unless the id itself is what identifies the person.
    if parts[-1] == "id" and parts[-2:-1] not in {("national",), ("tax",)}:
        return False
    return _PERSONAL.search(" ".join(parts)) is not None


def _is_about_the_row(name: str, table: str, telling: frozenset[str]) -> bool:
    parts = words(name)
    own = {stem for word in words(table) for stem in (word, word.removesuffix("s"))}
    return any(part in telling for part in parts) and all(
        part in telling or part in _NEUTRAL or part in own for part in parts
    )
