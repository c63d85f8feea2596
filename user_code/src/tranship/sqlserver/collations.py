"""How SQL Server compares the texts of a column, by the name of its collation.

Every collation, a binary one too, pads the shorter text with blanks before it compares
(https://learn.microsoft.com/sql/t-sql/language-elements/string-comparison-assignment). The parts of the name
say whether case (CI, CS), accents (AI, AS), kana (KS) and width (WS) count
(https://learn.microsoft.com/sql/relational-databases/collations/collation-and-unicode-support). Beyond that a
language has rules of its own (aa is å in Danish, ch a letter in Czech, i has two upper cases in Turkish), and
characters that have no weight, or that equal several others, are taken for what no table here says. So only
alphabets are named of which each letter is itself in the language.
"""

import re

from tranship.equality import Alphabet, TextEquality
from tranship.tables import SourceType

_TEXTS = frozenset({"char", "varchar", "text", "nchar", "nvarchar", "ntext"})
_NATIONAL = frozenset({"nchar", "nvarchar", "ntext"})

_NAME = re.compile(
    r"^(?P<language>.+?)(?:_(?:90|100|140|160))?_(?P<case>CI|CS)_(?P<accents>AI|AS)(?P<kana>_KS)?(?P<width>_WS)?"
    r"(?:_VSS)?(?:_SC)?(?:_UTF8)?$",
    re.IGNORECASE,
)
_BINARY = re.compile(r"_BIN2?(?:_UTF8)?$", re.IGNORECASE)
# Code page 1254 is Turkish, whose i is not ours.
_SORT_ORDER = re.compile(r"^SQL_Latin1_General(_Pref)?_CP(1|437|850)$", re.IGNORECASE)

_PLAIN = re.compile(
    r"^(Latin1_General|Cyrillic_General|Greek|Hebrew|Arabic|French|Modern_Spanish|Polish|Romanian|Ukrainian|Thai"
    r"|(Japanese|Chinese|Korean)(_.*)?)$",
    re.IGNORECASE,
)
"""Languages in which a to z are 26 letters that equal their upper case and nothing else."""
_WITH_MARKS = re.compile(r"^(Latin1_General|French|Modern_Spanish|Polish|Romanian)$", re.IGNORECASE)
_WITHOUT_MARKS = re.compile(r"^Latin1_General$", re.IGNORECASE)
"""Where accents do not count, ñ is still no n in Spanish, nor ą an a in Polish."""
_WITH_CYRILLIC = re.compile(r"^(Latin1_General|Cyrillic_General)$", re.IGNORECASE)


def equality_of(collation: str | None, type_: SourceType) -> TextEquality | None:
    """Which texts of a column are equal; `None` for a column that holds no texts.

    Args:
        collation: The column's collation; `None` where the server cannot tell.
        type_: The column's type.

    Example:
        >>> rule = equality_of("SQL_Latin1_General_CP1_CI_AS", SourceType("varchar", length=9))
        >>> rule.fold("Ü-1 ") if rule else None
        'ü-1'
    """
    if type_.name not in _TEXTS:
        return None
    if collation is None:
        return TextEquality("an unknown collation", alphabets=(Alphabet.SIGNS,))
    if _BINARY.search(collation):
        return TextEquality(collation)
    name = _NAME.match(collation)
    if name is None:
        return TextEquality(collation, alphabets=(Alphabet.SIGNS,))
    accents = name["accents"].upper() == "AS"
    return TextEquality(
        collation,
        case=name["case"].upper() == "CS",
        accents=accents,
        kana=bool(name["kana"]),
        width=bool(name["width"]),
        alphabets=_alphabets(name["language"], national=type_.name in _NATIONAL, accents=accents),
    )


def _alphabets(language: str, *, national: bool, accents: bool) -> tuple[Alphabet, ...]:
    by_sort_order = _SORT_ORDER.match(language)
    if by_sort_order and not national:
        # Texts of one byte are compared by a table of their own, which is older than some letters of its page.
        western = (Alphabet.WESTERN,) if by_sort_order[2] == "1" else ()
        return (Alphabet.SIGNS, Alphabet.LETTERS, *western)
    plain = "Latin1_General" if by_sort_order else language
    if not _PLAIN.match(plain):
        return (Alphabet.SIGNS,)
    letters = [
        Alphabet.SIGNS, Alphabet.LETTERS, Alphabet.WIDE, Alphabet.KANA, Alphabet.HAN, Alphabet.HANGUL,
    ]  # fmt: skip
    if (_WITH_MARKS if accents else _WITHOUT_MARKS).match(plain):
        letters += [Alphabet.WESTERN, Alphabet.LATIN]
    if _WITH_CYRILLIC.match(plain):
        letters.append(Alphabet.CYRILLIC)
    return tuple(letters)
