"""A batch is cut into its statements, with and without semicolons."""

import pytest

from standins.sqlserver.batch import If, Statement, split
from standins.sqlserver.errors import SqlError


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("select 1 select 2", ["select 1", "select 2"]),
        ("select 1; ; select 2;", ["select 1", "select 2"]),
        (
            "SET ARITHABORT ON SET TEXTSIZE 5;use [a b]",
            ["SET ARITHABORT ON", "SET TEXTSIZE 5", "use [a b]"],
        ),
        (
            "insert into t select 1 union all select 2 delete from t",
            ["insert into t select 1 union all select 2", "delete from t"],
        ),
        ("insert t values (1) select 2", ["insert t values (1)", "select 2"]),
        (
            "alter database d set change_tracking = on alter table t alter column c int alter table u add d int",
            [
                "alter database d set change_tracking = on",
                "alter table t alter column c int",
                "alter table u add d int",
            ],
        ),
        (
            "update t set a = (select 1) set nocount on",
            ["update t set a = (select 1)", "set nocount on"],
        ),
        (
            "with c as (select 1 a) select * from c select 2",
            ["with c as (select 1 a) select * from c", "select 2"],
        ),
        (
            "select case when 1 = 1 then 2 end select 3",
            ["select case when 1 = 1 then 2 end", "select 3"],
        ),
        ("alter table t drop column a drop table t", ["alter table t drop column a drop table t"]),
        (
            "drop table if exists t create table t (a int)",
            ["drop table if exists t", "create table t (a int)"],
        ),
        ("select 'select 1; select 2' -- select 3", ["select 'select 1; select 2'"]),
        (
            'select [select], "from" from t with (nolock) select 1',
            ['select [select], "from" from t with (nolock)', "select 1"],
        ),
        ("begin tran commit tran", ["begin tran", "commit tran"]),
    ],
)
def test_statements_are_found(sql: str, expected: list[str]) -> None:
    assert [
        statement.text for statement in split(sql) if isinstance(statement, Statement)
    ] == expected


def test_if_guards_one_statement_or_a_block() -> None:
    first, second = split(
        "if object_id('t') is not null begin drop table t select 1 end else select 2 select 3"
    )
    assert isinstance(first, If)
    assert first.condition == "object_id('t') is not null"
    assert [node.text for node in first.then if isinstance(node, Statement)] == [
        "drop table t",
        "select 1",
    ]
    assert [node.text for node in first.otherwise if isinstance(node, Statement)] == ["select 2"]
    assert isinstance(second, Statement)


def test_an_open_block_or_string_is_an_error() -> None:
    with pytest.raises(SqlError, match="Incorrect syntax"):
        split("begin select 1")
    with pytest.raises(SqlError, match="Unclosed quotation mark"):
        split("select 'open")
