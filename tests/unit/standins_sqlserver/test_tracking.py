"""Change Tracking without a wire: how CHANGETABLE is read, pairs of errors, and who waits for whom."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from sqlglot import exp

from standins.sqlserver import tokens
from standins.sqlserver.dialect import parse
from standins.sqlserver.errors import SqlError
from standins.sqlserver.locks.table_locks import TableLocks
from standins.sqlserver.tracking import errors


@pytest.mark.parametrize(
    ("call", "parts"),
    [
        ("changes dbo.t, 5", ["CHANGES", "dbo.t", "5"]),
        ("CHANGES [a b].[c d], @v, FORCESEEK", ["CHANGES", "[a b].[c d]", "@v", "FORCESEEK"]),
        ("changes x.dbo.t, null", ["CHANGES", "x.dbo.t", "NULL"]),
        ("version t, (a, b), (1, e.b)", ["VERSION", "t", "(a, b)", "(1, e.b)"]),
    ],
)
def test_changetable_is_read_with_its_alias(call: str, parts: list[str]) -> None:
    table = parse(f"select * from changetable({call}) as c").find(exp.Table)
    assert table is not None
    assert table.alias == "c"
    assert [part.sql(dialect="tsql") for part in table.this.expressions] == parts


@pytest.mark.parametrize("call", ["t, 5", "changes", "version t (a)", "changes t 5"])
def test_other_calls_of_changetable_are_syntax_errors(call: str) -> None:
    with pytest.raises(SqlError) as refused:
        parse(f"select * from changetable({call}) as c")
    assert refused.value.number == 102


def test_an_error_is_sent_with_the_one_that_follows_it() -> None:
    pair = tokens.error(errors.database_on_already("d"))
    assert pair.count("ALTER DATABASE statement failed.".encode("utf-16-le")) == 1
    first = tokens.error(SqlError(5088, "Change tracking is already enabled for database 'd'."))
    assert pair.startswith(first)
    assert pair[len(first)] == 0xAA


@dataclass
class Waiter:
    """As much of a session as locks look at."""

    spid: int
    lock_timeout: int = -1
    deadlock_priority: int = 0
    cancelled: threading.Event = field(default_factory=threading.Event)

    def stop_if_cancelled(self) -> None:
        if self.cancelled.is_set():
            raise InterruptedError


def test_writers_do_not_wait_for_each_other() -> None:
    locks = TableLocks()
    locks.write(Waiter(1, 0), 7)
    locks.write(Waiter(2, 0), 7)


def test_a_definition_waits_for_writers_and_they_for_it() -> None:
    locks = TableLocks()
    locks.write(Waiter(1), 7)
    with pytest.raises(SqlError, match="Lock request time out"):
        locks.change_definition(Waiter(2, 10), 7)
    locks.change_definition(Waiter(2, 0), 8)
    with pytest.raises(SqlError, match="Lock request time out"):
        locks.write(Waiter(1, 10), 8)
    locks.release(2)
    locks.write(Waiter(1, 0), 8)


def test_new_writers_wait_behind_a_definition_that_waits() -> None:
    locks = TableLocks()
    early = Waiter(1)
    locks.write(early, 7)
    definition = threading.Thread(target=locks.change_definition, args=(Waiter(2), 7))
    definition.start()
    definition.join(0.2)
    with pytest.raises(SqlError, match="Lock request time out"):
        locks.write(Waiter(3, 10), 7)
    locks.write(early, 7)
    locks.release(1)
    definition.join(10)
    assert not definition.is_alive()


def test_one_of_two_that_wait_for_each_other_is_the_victim() -> None:
    locks = TableLocks()
    victims: list[int] = []

    def wait(session: Waiter, lock: Callable[..., None], table: int) -> None:
        try:
            lock(session, table)
        except SqlError as failure:
            victims.append(failure.number)
        locks.release(session.spid)

    first, second = Waiter(1), Waiter(2)
    locks.write(first, 7)
    locks.change_definition(second, 8)
    threads = [
        threading.Thread(target=wait, args=(first, locks.write, 8)),
        threading.Thread(target=wait, args=(second, locks.change_definition, 7)),
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(10)
    assert victims == [1205]


def test_a_client_that_gives_up_stops_waiting() -> None:
    locks = TableLocks()
    locks.write(Waiter(1), 7)
    second = Waiter(2)
    second.cancelled.set()
    with pytest.raises(InterruptedError):
        locks.change_definition(second, 7)
