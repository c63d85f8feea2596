"""Conditions on keys, comparing texts as the table's source does rather than by their bytes.

`fold` makes one text of all that are equal, so that both sides can be hashed, indexed and grouped by it. It says
the same as `TextEquality.fold`, and the two are tested against each other.
"""

from collections.abc import Sequence

from psycopg2 import sql

from tranship.equality import Rules, TextEquality


def fold(value: sql.Composable, rule: TextEquality | None, lower: str) -> sql.Composable:
    """An expression that is the same for all texts that are equal.

    Args:
        value: The column.
        rule: How its texts are compared; `None` gives the column as it is.
        lower: What lowers A to Z, with `{}` for the text.
    """
    if rule is None:
        return value
    folded: sql.Composable = sql.SQL("rtrim({}, ' ')").format(value)
    if rule.ignores_ascii_case:
        folded = sql.SQL(lower).format(folded)
    if rule.replaced:
        # translate() looks each character up in the whole list, which texts of ASCII need not wait for.
        folded = sql.SQL(
            "case when octet_length({0}) = char_length({0}) then {1} else translate({1}, {2}, {3}) end"
        ).format(
            value,
            folded,
            sql.Literal("".join(rule.replaced.keys())),
            sql.Literal("".join(rule.replaced.values())),
        )
    return folded


def same_key(
    left: sql.Composable, right: sql.Composable, key: Sequence[str], rules: Rules, lower: str
) -> sql.Composable:
    """Whether two rows have one key, as the source compares it."""
    return sql.SQL(" and ").join(
        sql.SQL("{} = {}").format(
            *(fold(_of(side, name), rules.get(name), lower) for side in (left, right))
        )
        for name in key
    )


def other_spelling(
    left: sql.Composable, right: sql.Composable, key: Sequence[str], rules: Rules
) -> sql.Composable:
    """Whether two such keys are spelled otherwise; by length too, as Redshift passes over trailing blanks."""
    return sql.SQL(" or ").join(
        sql.SQL("{0} <> {1} or octet_length({0}) <> octet_length({1})").format(
            _of(left, name), _of(right, name)
        )
        for name in key
        if name in rules
    )


def _of(table: sql.Composable, column: str) -> sql.Composable:
    return sql.SQL("{}.{}").format(table, sql.Identifier(column))
