"""Collations: which texts are equal and which come first, as DuckDB expressions over a key of each text.

Two texts are equal where their keys are, and are ordered as their keys are. As in SQL Server trailing blanks never
count, in binary collations neither; characters without weight are passed over, some letters equal two
others, and what a letter is made of equals it. Languages with rules of their own are refused by name.
"""

import re
from dataclasses import dataclass

from standins.sqlserver.errors import SqlError, unsupported
from standins.sqlserver.typed import Typed, text_literal

DEFAULT_NAME = "SQL_Latin1_General_CP1_CI_AS"
_OF_THE_DATABASE = {"database_default", "catalog_default"}

# https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support
_NAME = re.compile(
    r"^(?P<language>[a-z0-9_]+?)(?:_(?:90|100|140|160))?_(?P<case>ci|cs)_(?P<accents>ai|as)(?P<kana>_ks)?(?P<width>_ws)?"
    r"(?:_vss)?(?:_sc)?(?:_utf8)?$",
    re.IGNORECASE,
)
_BINARY = re.compile(
    r"^(?P<language>[a-z0-9_]+?)(?:_(?:90|100|140|160))?_bin2?(?:_utf8)?$", re.IGNORECASE
)
_PLAIN = re.compile(
    r"^(sql_latin1_general(_pref)?_cp(1|437|850)|latin1_general|cyrillic_general|greek|french|japanese(_xjis|_unicode)?"
    r"|chinese_prc|korean_wansung)$",
    re.IGNORECASE,
)  # fmt: skip
_LANGUAGES = re.compile(
    r"^(turkish|danish_norwegian|danish_greenlandic|czech|slovak|hungarian|modern_spanish|traditional_spanish|finnish_swedish"
    r"|vietnamese|lithuanian|estonian|croatian|thai|polish|romanian|icelandic|latvian|albanian|azeri_latin)$",
    re.IGNORECASE,
)  # fmt: skip

_WIDE = "".join(chr(code) for code in range(0xFF01, 0xFF5F))
_NARROW = "".join(chr(code - 0xFEE0) for code in range(0xFF01, 0xFF5F))
_KATAKANA = "".join(chr(code) for code in range(0x30A1, 0x30F7))
_HIRAGANA = "".join(chr(code - 0x60) for code in range(0x30A1, 0x30F7))


@dataclass(frozen=True, slots=True)
class Collation:
    """What counts in comparisons.

    Args:
        name: as it was written.
        binary: whether code points are all that counts.
        case: whether case counts.
        accents: whether marks count.
        kana: whether hiragana differ from katakana.
        width: whether characters of full width differ.
    """

    name: str
    binary: bool
    case: bool = True
    accents: bool = True
    kana: bool = True
    width: bool = True

    @property
    def macro(self) -> str:
        """The DuckDB macro that makes a text's key."""
        if self.binary:
            return "t_key_binary"
        flags = (self.case, self.accents, self.kana, self.width)
        return f"t_key_{''.join('01'[flag] for flag in flags)}"

    def key(self, sql: str) -> str:
        """A text's key."""
        return f"{self.macro}({sql})"


def collation(name: str) -> Collation:
    """The collation of that name.

    Raises:
        SqlError: 448 for a name that is none; or the stand-in does not know the language's rules.
    """
    if name.lower() in _OF_THE_DATABASE:
        name = DEFAULT_NAME
    found = _BINARY.match(name) or _NAME.match(name)
    if found is None or not (
        _PLAIN.match(found["language"]) or _LANGUAGES.match(found["language"])
    ):
        raise SqlError(448, f"Invalid collation '{name}'.")
    if not _PLAIN.match(found["language"]):
        raise unsupported(f"the collation {name}")
    if found.re is _BINARY:
        return Collation(name, binary=True)
    return Collation(
        name,
        binary=False,
        case=found["case"].lower() == "cs",
        accents=found["accents"].lower() == "as",
        kana=bool(found["kana"]),
        width=bool(found["width"]),
    )


DEFAULT = collation(DEFAULT_NAME)


def of(value: Typed) -> Collation:
    """The collation that a text is compared by where nothing else is said."""
    name = value.type.collation if value.type is not None else ""
    return collation(name) if name else DEFAULT


def common(left: Typed, right: Typed, words: str) -> Collation:
    """The collation that two texts meet at: one that was written, else a column's, else the database's.

    https://learn.microsoft.com/sql/t-sql/statements/collation-precedence-transact-sql

    Raises:
        SqlError: 468, the two have different ones and neither comes before the other.
    """
    names = [side.type.collation if side.type is not None else "" for side in (left, right)]
    if left.explicit is not right.explicit:
        return collation(names[0] if left.explicit else names[1])
    if all(names) and names[0].lower() != names[1].lower():
        raise SqlError(
            468,
            f'Cannot resolve the collation conflict between "{names[0]}" and "{names[1]}" in the {words} operation.',
        )
    return collation(names[0] or names[1] or DEFAULT_NAME)


def key(value: Typed, by: Collation | None = None) -> str:
    """A text's key by a collation, by default its own."""
    return (by or of(value)).key(value.sql)


def macros() -> dict[str, str]:
    """The macros that make keys, by their heads."""
    made = {"t_key_binary(s)": "rtrim(s, ' ')"}
    for number in range(16):
        case, accents, kana, width = (bool(number & bit) for bit in (8, 4, 2, 1))
        made[f"t_key_{number:04b}(s)"] = _macro(case=case, accents=accents, kana=kana, width=width)
    return made


def _macro(*, case: bool, accents: bool, kana: bool, width: bool) -> str:
    lower = "{}" if case else "lower({})"
    short = "rtrim(s, ' ')"
    # Soft hyphens and zero-width characters have no weight; ß is ss and æ is ae, but for their case.
    text = "replace(replace(replace(regexp_replace(rtrim(s, ' '), '[\\x{ad}\\x{200b}-\\x{200d}\\x{feff}]', '', 'g'), 'ß', 'ss'), 'æ', 'ae'), 'Æ', 'AE')"
    text = f"nfc_normalize({text})"
    if not width:
        text = f"translate({text}, {text_literal(_WIDE)}, {text_literal(_NARROW)})"
    if not kana:
        text = f"translate({text}, {text_literal(_KATAKANA)}, {text_literal(_HIRAGANA)})"
    if not accents:
        text = f"strip_accents({text})"
    # What is all ASCII needs none of this, and is most of what there is.
    return (
        f"case when strlen(s) = length(s) then {lower.format(short)} else {lower.format(text)} end"
    )
