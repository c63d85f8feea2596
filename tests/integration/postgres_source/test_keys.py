"""How keys are compared, and that none becomes one with another on its way."""

from decimal import Decimal

import pytest
from tests.integration.postgres_source.conftest import Make, Open, Run, values

from tranship.slices import KeyRange, Values


@pytest.mark.parametrize(
    ("declared", "cast", "one", "other"),
    [
        ("timestamptz", "date", "'2024-01-01 00:00+00'", "'2024-01-01 12:00+00'"),
        ("text", "varchar(3)", "'abcd'", "'abce'"),
        ("numeric(9,3)", "integer", "1.2", "1.3"),
        ("json", "varchar(1)", "'11'", "'12'"),
    ],
)
def test_keys_that_a_cast_makes_one_are_found(
    make: Make, source: Open, declared: str, cast: str, one: str, other: str
) -> None:
    table = make(f"part int, k {declared}", f"1, {one}", f"1, {other}", f"2, {one}")
    found = source(table, key=("part", "k"), cast={"k": cast})
    collision = found.collision(("part", "k"))
    assert collision is not None
    assert collision.keys == 2
    ((column, loss, least, greatest),) = collision.columns
    assert column.name == "k"
    assert f"cast to {cast}" in loss
    assert least < greatest
    assert source(table, key=("part", "k"), where="part = 2", cast={"k": cast}).collision(("part", "k")) is None  # fmt: skip


def test_keys_that_arrive_as_they_are_do_not_collide(make: Make, source: Open) -> None:
    assert source(make("k text primary key", "'a'", "'A'")).collision(("k",)) is None


def test_blanks_at_the_end_of_a_padded_text_count_for_nothing(make: Make, source: Open) -> None:
    table = make("a char(4), b bpchar, c text, d varchar(4)", "'x', 'x ', 'x ', 'x '")
    rules = source(table).schema.equalities("abcd")
    assert sorted(rules) == ["a", "b"]
    assert rules["a"].fold("x   ") == rules["a"].fold("x") == "x"
    assert rules["a"].knows("Straße İ")


def test_a_collation_that_takes_other_texts_for_the_same_is_not_guessed(
    make: Make, source: Open, run: Run
) -> None:
    schema = make("x int", name="first").schema
    run(f'create collation {schema}."no case" from "C"')
    table = make(f'k text collate {schema}."no case" primary key, v text collate "C"', "'a'")
    # Of this server's libraries none has such collations; that it is one stands in the catalogue alone.
    run(f"update pg_collation set collisdeterministic = false where oid = '{schema}.\"no case\"'::regcollation")  # fmt: skip
    rules = source(table).schema.equalities(("k", "v"))
    assert list(rules) == ["k"]
    assert rules["k"].rule == "the nondeterministic collation no case"
    assert not rules["k"].knows("a")


def test_a_number_of_any_scale_is_one_key_however_it_is_written(make: Make, source: Open) -> None:
    table = make("k numeric primary key, v numeric", "1.00, 1.00", "1.5, 2.0", "100, 100")
    assert sorted(values(source(table))) == [("1", "1.00"), ("1.5", "2.0"), ("100", "100")]
    assert source(table).count(Values("k", ("1.0", "1.50"))) == 2
    assert source(table).count(KeyRange("k", "1.5", "99")) == 1


def test_a_key_named_by_the_user_goes_before_that_of_the_table(make: Make, source: Open) -> None:
    table = make("a int primary key, b numeric(3,1)", "1, 2.5")
    assert source(table).key == ("a",)
    assert source(table, key=("b", "a")).key == ("b", "a")
    assert source(make("a int", name="bare")).key == ()
    assert source(table).hidden_keys() is None
    assert values(source(table), "b") == [(Decimal("2.5"),)]
