"""What the name of a collation says of two texts."""

import pytest

from tranship.equality import Alphabet, TextEquality
from tranship.sqlserver.collations import equality_of
from tranship.tables import SourceType


def of(collation: str | None, type_: str = "nvarchar") -> TextEquality:
    made = equality_of(collation, SourceType(type_, length=20))
    assert made is not None
    return made


def test_what_is_no_text_has_no_rule() -> None:
    assert equality_of(None, SourceType("int")) is None
    assert equality_of(None, SourceType("uniqueidentifier")) is None


@pytest.mark.parametrize(
    "name", ["Latin1_General_BIN", "Latin1_General_100_BIN2", "Japanese_BIN2_UTF8"]
)
def test_a_binary_collation_still_pads_with_blanks(name: str) -> None:
    made = of(name)
    assert (made.case, made.accents, made.alphabets) == (True, True, None)
    assert made.fold("Straße  ") == "Straße"


@pytest.mark.parametrize(
    ("name", "counts"),
    [
        ("SQL_Latin1_General_CP1_CI_AS", (False, True, False, False)),
        ("Latin1_General_CS_AI_KS", (True, False, True, False)),
        ("Latin1_General_100_CI_AI_KS_WS_SC_UTF8", (False, False, True, True)),
        ("Japanese_XJIS_140_CI_AS_WS_VSS", (False, True, False, True)),
    ],
)
def test_the_name_says_what_counts(name: str, counts: tuple[bool, bool, bool, bool]) -> None:
    made = of(name)
    assert (made.case, made.accents, made.kana, made.width) == counts
    assert Alphabet.LETTERS in (made.alphabets or ())


@pytest.mark.parametrize(
    "name",
    ["Turkish_CI_AS", "Danish_Norwegian_CI_AS", "Czech_100_CI_AS", "SQL_Latin1_General_CP1254_CI_AS", "New_Rules_2030", None],
)  # fmt: skip
def test_of_a_language_with_rules_of_its_own_only_signs_are_known(name: str | None) -> None:
    made = of(name)
    assert made.alphabets == (Alphabet.SIGNS,)
    assert made.knows("2024-01 #7")
    assert not made.knows("i")


def test_texts_of_one_byte_are_known_as_far_as_their_sort_order_is() -> None:
    assert of("SQL_Latin1_General_CP1_CI_AS", "varchar").knows("Müller")
    assert not of("SQL_Latin1_General_CP1_CI_AS", "varchar").knows("Žižka")
    assert of("SQL_Latin1_General_CP1_CI_AS", "nvarchar").knows("Žižka")
    assert of("Latin1_General_CI_AS", "varchar").knows("Žižka")


def test_a_letter_of_its_own_is_no_letter_with_a_mark() -> None:
    assert of("Modern_Spanish_CI_AS").knows("ñ")
    assert not of("Modern_Spanish_CI_AI").knows("ñ")
