"""Splitting and rewriting statements by their tokens."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from standins.redshift.errors import RedshiftError
from standins.redshift.rewrite import SessionSettings, rewrite
from standins.redshift.statements import BIG_STATEMENT_CHARS, fold_ascii, literal, quote, split


def rewritten(sql: str, *, case_sensitive: bool = False) -> str:
    (statement,) = split(sql)
    return rewrite(statement, SessionSettings(case_sensitive_names=case_sensitive))


@pytest.mark.parametrize(
    ("sql", "parts"),
    [
        ("select 1", ["select 1"]),
        ("select 1; select 2;", ["select 1", " select 2"]),
        ("select ';', \"a;b\" -- ; c\n; /* ; */ select 2", ["select ';', \"a;b\" -- ; c\n", " /* ; */ select 2"]),
        ("select 'it''s; \\'; x'", ["select 'it''s; \\'; x'"]),
        ("select $$;$$; copy t from 's3://b'", ["select $$;$$", " copy t from 's3://b'"]),
        (" ; ;; ", []),
        ("-- only a comment", []),
    ],
)  # fmt: skip
def test_statements_are_split_at_semicolons_outside_strings_and_comments(sql, parts):
    assert [statement.text for statement in split(sql)] == parts


def test_long_statements_are_split_at_the_same_places():
    filler = ", ".join(f"({n}, 'a;''\"{n}')" for n in range(9000))
    sql = f'insert into "T" values {filler}; select 2; /* ; */ update t set a = 1'
    assert len(sql) > BIG_STATEMENT_CHARS
    first, second, third = split(sql)
    assert first.text == f'insert into "T" values {filler}'
    assert (second.words, third.words[0]) == (["SELECT", "2"], "UPDATE")
    assert rewrite(first, SessionSettings()).startswith('insert into "t" values')


@pytest.mark.parametrize(
    "tail",
    ["on conflict do nothing", "returning id", "ON /* x */ CONFLICT (id) do update set id = 1"],
)
def test_the_tail_of_a_long_insert_is_read_too(tail):
    filler = ", ".join(f"({n}, 'x')" for n in range(9000))
    with pytest.raises(RedshiftError, match="syntax error"):
        rewritten(f"insert into t values {filler} {tail}")


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ('select "Ab"."Cd" from "T"', 'select "ab"."cd" from "t"'),
        ("select 'Ab', \"ÄÖ\"", "select 'Ab', \"ÄÖ\""),
        ("select x::super, cast(y as super)", "select x::jsonb, cast(y as jsonb)"),
        ("select x::varchar(max)", "select x::varchar(65535)"),
        ("select version(), t.version", "select redshift_version(), t.version"),
        ("select nvl(a, 1), sysdate", "select coalesce(a, 1), getdate()"),
        ("select dateadd(day, 1, d)", "select dateadd('day', 1, d)"),
        ("select dateadd('day', 1, d)", "select dateadd('day', 1, d)"),
        ("create view v as select 1 with no schema binding", "create view v as select 1 "),
        ("set query_group to 'x'", "set redshift_setting.query_group to 'x'"),
        ("set search_path to \"A\"", "set search_path to \"A\""),
        ("select max(a) from t", "select max(a) from t"),
    ],
)  # fmt: skip
def test_what_only_redshift_has_is_exchanged(sql, expected):
    assert rewritten(sql) == expected


def test_names_stay_as_they_are_when_the_session_says_so():
    assert rewritten('select "Ab"', case_sensitive=True) == 'select "Ab"'


@given(st.text())
def test_folding_touches_ascii_letters_only(name):
    folded = fold_ascii(name)
    assert len(folded) == len(name)
    assert all(
        a == b or (a.isascii() and a.lower() == b) for a, b in zip(name, folded, strict=True)
    )


@given(st.text(alphabet=st.characters(exclude_characters="\0", exclude_categories=["Cs"])))
def test_quoting_survives_the_tokenizer(text):
    (statement,) = split(f"select {quote(text)}, {literal(text)}") if text else split("select 1")
    if text:
        assert [token.text for token in statement.tokens][1::2] == [text, text]
