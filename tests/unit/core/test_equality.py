"""Texts fold to one where a source takes them for the same, and to two where it does not."""

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tranship.equality import Alphabet, TextEquality
from tranship.errors import KeyNotComparableError
from tranship.frames import Batches
from tranship.keys import refuse_unknown
from tranship.tables import Column

ALL = tuple(Alphabet)
# Letters with marks and of other widths fold into those of ASCII, so no collation knows them without these.
ASCII = (Alphabet.SIGNS, Alphabet.LETTERS)
RULES = st.builds(
    TextEquality,
    rule=st.just("some collation"),
    case=st.booleans(),
    accents=st.booleans(),
    width=st.booleans(),
    kana=st.booleans(),
    alphabets=st.none()
    | st.sampled_from([(), ASCII[:1]])
    | st.lists(st.sampled_from(ALL), unique=True).map(lambda more: (*ASCII, *more)),
)
TEXTS = st.text(
    st.sampled_from(
        "aAzZ09 -éÉøØÿŸžŽЯяёй\uff21\uff41\uff19あアがガー漢힣ß\u0131\u0130\u00ad\U0001f600"
    ),
    max_size=6,
)


def rule(**flags: bool) -> TextEquality:
    return TextEquality("rule", **flags, alphabets=ALL)


@given(RULES)
def test_a_rule_survives_as_metadata_of_its_column(made: TextEquality) -> None:
    assert TextEquality.from_text(made.to_text()) == made
    column = Column("code", pa.large_string(), equality=made)
    assert Column.from_field(column.to_field()) == column


@given(RULES, TEXTS)
def test_a_folded_text_folds_to_itself_and_stays_known(made: TextEquality, text: str) -> None:
    folded = made.fold(text)
    assert made.fold(folded) == folded
    assert made.fold(text + "  ") == folded
    assert made.knows(folded) or not made.knows(text.rstrip(" "))


@given(RULES, TEXTS, TEXTS)
def test_what_counts_is_never_folded_away(made: TextEquality, one: str, other: str) -> None:
    # A rule to which nothing is equal but trailing blanks tells all that differ apart.
    strict = TextEquality("strict", alphabets=made.alphabets)
    assert (strict.fold(one) == strict.fold(other)) == (one.rstrip(" ") == other.rstrip(" "))
    if strict.fold(one) == strict.fold(other):
        assert made.fold(one) == made.fold(other)


@pytest.mark.parametrize(
    ("flags", "one", "other", "same"),
    [
        ({"case": False}, "Abc", "aBC", True),
        ({"case": False}, "Žluť", "ŽLUŤ", True),
        ({"case": False}, "é", "e", False),
        ({"case": True}, "Abc", "abc", False),
        ({"accents": False}, "é", "e", True),
        ({"accents": False}, "É", "e", False),
        ({"accents": False, "case": False}, "É", "e", True),
        ({"width": False}, "\uff211", "A\uff11", True),
        ({"width": True}, "\uff21", "A", False),
        ({"kana": False}, "あが", "アガ", True),
        ({"kana": False}, "か", "が", False),
        ({"kana": True}, "あ", "ア", False),
        ({}, "a", "a  ", True),
        ({}, "a", "a\u00a0", False),
        ({}, " a", "a", False),
    ],
)
def test_each_flag_folds_what_it_names(
    flags: dict[str, bool], one: str, other: str, *, same: bool
) -> None:
    made = rule(**flags)
    assert (made.fold(one) == made.fold(other)) is same


@given(RULES, st.lists(TEXTS, min_size=1))
def test_rows_pass_exactly_where_each_key_is_known(made: TextEquality, texts: list[str]) -> None:
    rows = refuse_unknown(Batches.of(pa.table({"code": texts})), {"code": made}, "dbo.A", "Cure.")
    if all(map(made.knows, texts)):
        assert rows.to_table()["code"].to_pylist() == texts
        return
    first = next(text for text in texts if not made.knows(text))
    with pytest.raises(KeyNotComparableError) as caught:
        rows.to_table()
    assert f'The key column "code" of dbo.A has the value {first!r}.' in str(caught.value)
    assert str(caught.value).endswith("Cure.")
