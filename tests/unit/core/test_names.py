"""A name in a form that a system takes: two names never share one, and it can be read back."""

import re

from hypothesis import given
from hypothesis import strategies as st

from tranship.names import (
    NameStyle,
    decoded,
    distinct,
    identifier,
    key_part,
    shortened,
    styled,
)

NAMES = st.text(
    st.one_of(
        st.sampled_from("aZ09_x$-./ []{}'\"%ÄßéЖ日本😀"),
        st.characters(exclude_categories=["Cs"], exclude_characters="\0"),
    ),
    min_size=1,
    max_size=128,
)
PLAIN = st.text("abcXYZ019_.-", min_size=1)


@given(NAMES)
def test_a_key_part_is_made_of_what_dagster_takes(name: str):
    assert re.fullmatch(r"[A-Za-z0-9_.-]+", key_part(name))
    assert re.fullmatch(r"[A-Za-z0-9_]+", identifier(name))


@given(PLAIN)
def test_a_name_that_dagster_takes_keeps_its_key(name: str):
    assert key_part(name) == name


@given(NAMES)
def test_a_name_can_be_read_back(name: str):
    for made in (key_part(name), identifier(name)):
        if made != name:
            assert decoded(made) == name


def test_what_only_looks_like_an_escape_is_read_back_too():
    for name in ("_x0041_ $", "_x0041$", "a_x005F_x0041_é", "__x0024$_"):
        assert decoded(key_part(name)) == name


@given(st.sets(st.tuples(NAMES, NAMES), max_size=8))
def test_two_names_never_have_one_form(pairs: set[tuple[str, str]]):
    forms = distinct(pairs, lambda pair: identifier(*pair))
    assert len(set(forms.values())) == len(pairs)


def test_a_plain_name_keeps_its_form_where_another_ones_escapes_spell_it():
    assert distinct(["a$", "a_x0024_"], key_part, str) == {
        "a$": "a_x0024__3c2ca893",
        "a_x0024_": "a_x0024_",
    }


@given(NAMES, st.integers(min_value=20, max_value=130))
def test_a_shortened_name_fits_and_a_short_one_stays(name: str, longest: int):
    made = shortened(name, longest)
    assert len(made.encode()) <= longest
    if len(name.encode()) <= longest:
        assert made == name


def test_long_names_that_begin_alike_stay_apart():
    long = "Sales Header " * 8
    assert len({shortened(long + end, 63) for end in ("a", "b", "c")}) == 3


@given(NAMES)
def test_every_name_has_a_snake_form_of_one_word(name: str):
    made = styled(name, NameStyle.SNAKE)
    assert re.fullmatch(r"\w+", made)
    assert made == made.strip("_") or set(name) == {"_"}
    assert styled(name, NameStyle.KEEP) == name
