"""Which texts of a column its source takes for one and the same: case, accents, width, kana, trailing blanks.

A source compares keys by rules of its own, and a copy that compared bytes would hold one row in two spellings.
The rule travels with the column as data, so that a target needs to know no source. What it says is exact for
texts of known alphabets only; of any other text nothing is claimed, and a key that has one is refused.
"""

import json
import string
import unicodedata
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from typing import Self

BLANK = " "
"""What pads the shorter of two texts: U+0020, and no other blank."""

_ASCII = range(0x20, 0x7F)
_SIGNS = "".join(chr(code) for code in _ASCII if not chr(code).isalpha())
_LATIN_LETTERS = [chr(code) for code in range(0xC0, 0x17F)]
_FULL_WIDTH = 0xFEE0
_WIDE = "".join(chr(code + _FULL_WIDTH) for code in _ASCII if chr(code).isalnum())
_KATAKANA = 0x60
# Small kana differ from large ones in some comparisons and not in others; so do voiced u, va to vo.
_SMALL_KANA = "ぁぃぅぇぉっゃゅょゎ"
_HIRAGANA = "".join(
    chr(code) for code in range(0x3041, 0x3094) if chr(code) not in _SMALL_KANA
)  # fmt: skip


class Alphabet(StrEnum):
    """Characters of which it is known what they equal, and that no longer or shorter text equals theirs."""

    SIGNS = "signs"
    """Digits, punctuation and the blank of ASCII."""
    LETTERS = "letters"
    """A to Z."""
    WESTERN = "western"
    """Letters of Latin-1 that are a letter of ASCII with one mark, as in ü; and ø where accents count."""
    LATIN = "latin"
    """Those of Latin Extended-A, and ÿ."""
    CYRILLIC = "cyrillic"
    """Letters of Russian; ё and й where accents count."""
    WIDE = "wide"
    """Digits and letters of ASCII in full width."""
    KANA = "kana"
    """Hiragana and katakana of full size."""
    HAN = "han"
    """The CJK ideographs of Unicode 1.1."""
    HANGUL = "hangul"
    """Precomposed syllables."""


@dataclass(frozen=True, slots=True)
class TextEquality:
    """Which texts are equal.

    Args:
        rule: What the source calls the rule, for messages: its collation.
        case: Whether letters of another case are other letters.
        accents: Whether a letter with a mark is another letter.
        width: Whether characters of full width are other characters.
        kana: Whether hiragana and katakana are other characters.
        alphabets: The characters that this holds for; `None` where it holds for all of them.

    Example:
        >>> rule = TextEquality("CI", case=False, alphabets=(Alphabet.SIGNS, Alphabet.LETTERS))
        >>> rule.fold("AbC  "), rule.knows("AbC"), rule.knows("Straße")
        ('abc', True, False)
    """

    rule: str
    case: bool = True
    accents: bool = True
    width: bool = True
    kana: bool = True
    alphabets: tuple[Alphabet, ...] | None = None

    @classmethod
    def from_text(cls, text: str) -> Self:
        """Read the rule back from a column's metadata."""
        values = json.loads(text)
        known = values.pop("alphabets")
        return cls(**values, alphabets=None if known is None else tuple(map(Alphabet, known)))

    def to_text(self) -> str:
        """The rule as a column's metadata carries it."""
        fields = ("rule", "case", "accents", "width", "kana", "alphabets")
        return json.dumps({name: getattr(self, name) for name in fields})

    @property
    def ignores_ascii_case(self) -> bool:
        """Whether A to Z equal a to z."""
        return not self.case and self.alphabets is not None and Alphabet.LETTERS in self.alphabets

    @property
    def replaced(self) -> Mapping[str, str]:
        """The characters beyond ASCII that equal another one, and that one; one for one."""
        return _replaced(self)

    def fold(self, text: str) -> str:
        """One text for all that are equal, where `knows` says that this is known."""
        return text.rstrip(BLANK).translate(_table(self))

    def knows(self, text: str) -> bool:
        """Whether it is known which other texts equal this one."""
        return self.alphabets is None or set(text) <= _known(self)

    @property
    def unknown_pattern(self) -> str | None:
        """A regular expression that finds a character outside the alphabets; `None` where all are known."""
        if self.alphabets is None:
            return None
        return f"[^{_ranges(_known(self))}]" if self.alphabets else "(?s)."


@cache
def _table(rule: TextEquality) -> Mapping[int, str]:
    case = zip(string.ascii_uppercase, string.ascii_lowercase, strict=True)
    ascii_case = dict(case) if rule.ignores_ascii_case else {}
    return str.maketrans({**ascii_case, **rule.replaced})


@cache
def _known(rule: TextEquality) -> frozenset[str]:
    return frozenset(
        character for alphabet in rule.alphabets or () for character in _characters(rule, alphabet)
    )


def _characters(rule: TextEquality, alphabet: Alphabet) -> Iterator[str]:
    match alphabet:
        case Alphabet.SIGNS:
            yield from _SIGNS
        case Alphabet.LETTERS:
            yield from (chr(code) for code in _ASCII if chr(code).isalpha())
        case Alphabet.WESTERN:
            yield from (letter for letter in _LATIN_LETTERS if letter < "ÿ" and _base(letter))
            yield from "øØ" if rule.accents else ""
        case Alphabet.LATIN:
            # Dotted and dotless i are of other letters in each language.
            yield from (
                letter
                for letter in _LATIN_LETTERS
                if letter >= "ÿ" and _base(letter) and letter != "İ"
            )
            yield from "łŁ" if rule.accents else ""
        case Alphabet.CYRILLIC:
            letters = [chr(code) for code in range(0x410, 0x450)]
            yield from (letter for letter in letters if rule.accents or letter not in "йЙ")
            yield from "ёЁ" if rule.accents else ""
        case Alphabet.WIDE:
            yield from _WIDE
        case Alphabet.KANA:
            yield from _HIRAGANA if rule.accents else ""
            yield from (chr(ord(sign) + _KATAKANA) for sign in _HIRAGANA) if rule.accents else ()
        case Alphabet.HAN:
            yield from map(chr, range(0x4E00, 0x9FA6))
        case Alphabet.HANGUL:
            yield from map(chr, range(0xAC00, 0xD7A4))


def _base(letter: str) -> str | None:
    """The letter of ASCII that a letter is, with one mark; `None` where it is another one."""
    parts = unicodedata.normalize("NFD", letter)
    return parts[0] if len(parts) == 2 and parts[0].isascii() else None


@cache
def _replaced(rule: TextEquality) -> Mapping[str, str]:
    if rule.alphabets is None:
        return {}
    folded: dict[str, str] = {}
    for character in sorted(_known(rule)):
        if character.isascii():
            continue
        other = character
        if not rule.width and character in _WIDE:
            other = chr(ord(character) - _FULL_WIDTH)
        if not rule.kana and "ァ" <= character <= "ヴ":
            other = chr(ord(character) - _KATAKANA)
        if not rule.accents:
            other = _base(other) or other
        if not rule.case:
            other = other.lower()
        if other != character:
            folded[character] = other
    return folded


def _ranges(characters: frozenset[str]) -> str:
    """Characters as the inside of a bracket of a regular expression."""
    parts: list[str] = []
    codes = sorted(map(ord, characters))
    start = previous = codes[0]
    for code in [*codes[1:], -1]:
        if code == previous + 1:
            previous = code
            continue
        parts.append(f"\\x{{{start:x}}}-\\x{{{previous:x}}}")
        start = previous = code
    return "".join(parts)


Rules = Mapping[str, TextEquality]
"""How each key column of texts is compared, by its name; bytes tell of those that are missing."""
