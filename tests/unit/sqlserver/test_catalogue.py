"""Which tables a pattern means, and what is said of one that is not there."""

import pytest

from tranship.errors import TableNotFoundError
from tranship.patterns import select_tables, table_not_found
from tranship.tables import TableName

PRESENT = [
    TableName("dbo", "DimDate"),
    TableName("dbo", "DimProduct"),
    TableName("dbo", "FactInternetSales"),
    TableName("dbo", "[odd]"),
    TableName("sales", "DimProduct"),
]


def chosen(patterns: list[str], exclude: list[str] | None = None) -> list[str]:
    return [str(table) for table in select_tables(PRESENT, patterns, exclude=exclude or [])]


@pytest.mark.parametrize(
    ("patterns", "exclude", "expected"),
    [
        (["dbo.Dim*"], [], ["dbo.DimDate", "dbo.DimProduct"]),
        (["Dim*"], [], ["dbo.DimDate", "dbo.DimProduct"]),
        (["*.DimProduct"], [], ["dbo.DimProduct", "sales.DimProduct"]),
        (["dbo.dimdate"], [], ["dbo.DimDate"]),
        (["dbo.[odd]"], [], ["dbo.[odd]"]),
        (["*.*"], ["dbo.*"], ["sales.DimProduct"]),
        (["dbo.DimDate", "dbo.Dim*"], ["DimProduct"], ["dbo.DimDate"]),
        (["nothing.*"], [], []),
    ],
)
def test_patterns_choose_tables(patterns, exclude, expected):
    assert chosen(patterns, exclude) == expected


def test_a_name_without_wildcards_must_exist():
    with pytest.raises(TableNotFoundError) as caught:
        select_tables(PRESENT, ["dbo.DimProducts"], database="dw")
    assert str(caught.value).startswith(
        'There is no table dbo.DimProducts in the database "dw". Did you mean dbo.DimProduct'
    )


@pytest.mark.parametrize(
    ("missing", "suggested"),
    [
        (TableName("dbo", "dimproduct"), "dbo.DimProduct or sales.DimProduct"),
        (TableName("public", "FactInternetSales"), "dbo.FactInternetSales"),
    ],
)
def test_a_missing_table_is_answered_with_close_names(missing, suggested):
    assert suggested in str(table_not_found(missing, PRESENT, "dw"))


def test_a_missing_table_that_is_close_to_none_says_what_to_check():
    assert "Check the spelling" in str(table_not_found(TableName("x", "zzz"), PRESENT, "dw"))
