"""Changes to the loaded sample, as a shop would make them: the material of incremental loads."""

import datetime
from dataclasses import dataclass

import mssql_python

from standins.sample.calendar_of_sales import DUE_DAYS, SHIPPING_DAYS
from standins.sample.dates import LAST_DAY
from standins.sample.sales import COLUMNS

NEWEST_LINES = """
select top (?) {columns} from [dbo].[FactInternetSales]
order by [OrderDateKey] desc, [SalesOrderNumber] desc, [SalesOrderLineNumber] desc
"""
NEWEST_ORDER_NUMBERS = """
select distinct [SalesOrderNumber] from [dbo].[FactInternetSales]
where [OrderDateKey] = (select max([OrderDateKey]) from [dbo].[FactInternetSales])
"""
CHANGE_LINE = """
update [dbo].[FactInternetSales]
set [RevisionNumber] = ?, [CarrierTrackingNumber] = ?
where [SalesOrderNumber] = ? and [SalesOrderLineNumber] = ?
"""
ADD_LINE = "insert into [dbo].[FactInternetSales] ({columns}) values ({markers})"


@dataclass(frozen=True, slots=True)
class Changes:
    """What `apply_changes` did.

    Args:
        changed: The keys (order number, line number) of the lines that were updated.
        added: The keys of the new lines.
    """

    changed: tuple[tuple[str, int], ...]
    added: tuple[tuple[str, int], ...]


def apply_changes(
    connection: mssql_python.Connection, rows_changed: int, rows_added: int
) -> Changes:
    """Update the newest order lines and add new orders a day later, in one transaction.

    The update raises `RevisionNumber` by one (starting over after 255) and sets `CarrierTrackingNumber`. New orders
    have one line each, the next order numbers, and repeat products and customers of the newest lines. Their day stays
    within DimDate: once its end is reached, further orders fall on its last possible day.

    Args:
        connection: An open `mssql-python` connection to a database that holds the sample.
        rows_changed: How many lines to update; fewer if the table has fewer.
        rows_added: How many lines to add.

    Raises:
        ValueError: If the fact table is empty.
    """
    names = [column.name for column in COLUMNS]
    columns = ", ".join(f"[{name}]" for name in names)
    cursor = connection.cursor()
    cursor.execute(NEWEST_LINES.format(columns=columns), [max(rows_changed, 1)])
    newest = [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]
    if not newest:
        raise ValueError("dbo.FactInternetSales is empty; load the sample first")
    cursor.execute(NEWEST_ORDER_NUMBERS)
    last_number = max(int(row[0].removeprefix("SO")) for row in cursor.fetchall())

    changed = newest[:rows_changed]
    for line in changed:
        revision = line["RevisionNumber"] % 255 + 1
        key = [line["SalesOrderNumber"], line["SalesOrderLineNumber"]]
        cursor.execute(CHANGE_LINE, [revision, f"REV-{revision:03d}", *key])
    statement = ADD_LINE.format(columns=columns, markers=", ".join("?" * len(names)))
    added = [
        _new_line(
            newest[position % len(newest)], last_number + 1 + position, newest[0]["OrderDate"]
        )
        for position in range(rows_added)
    ]
    for line in added:
        cursor.execute(statement, list(line.values()))
    connection.commit()
    return Changes(_keys(changed), _keys(added))


def _new_line(model: dict, number: int, newest_day: datetime.datetime) -> dict:
    last_day = datetime.datetime.combine(LAST_DAY, datetime.time())
    ordered = min(
        newest_day + datetime.timedelta(days=1), last_day - datetime.timedelta(days=DUE_DAYS)
    )
    line = {**model, "SalesOrderNumber": f"SO{number}", "SalesOrderLineNumber": 1}
    line |= {"RevisionNumber": 1, "CarrierTrackingNumber": None}
    for name, days in (("OrderDate", 0), ("DueDate", DUE_DAYS), ("ShipDate", SHIPPING_DAYS)):
        day = ordered + datetime.timedelta(days=days)
        line[name] = day
        line[f"{name}Key"] = int(f"{day:%Y%m%d}")
    return line


def _keys(lines: list[dict]) -> tuple[tuple[str, int], ...]:
    return tuple((line["SalesOrderNumber"], line["SalesOrderLineNumber"]) for line in lines)
