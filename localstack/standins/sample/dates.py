"""DimDate: one row for each day of 2005 to 2014, with names in three languages."""

import datetime
from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from standins.sample.arrays import batch_of_rows
from standins.sample.tables import Column, SampleTable, sample_table

FIRST_DAY = datetime.date(2005, 1, 1)
LAST_DAY = datetime.date(2014, 12, 31)
DAYS = (LAST_DAY - FIRST_DAY).days + 1

WEEKDAYS = (
    ("Sunday", "Domingo", "Dimanche"),
    ("Monday", "Lunes", "Lundi"),
    ("Tuesday", "Martes", "Mardi"),
    ("Wednesday", "Miércoles", "Mercredi"),
    ("Thursday", "Jueves", "Jeudi"),
    ("Friday", "Viernes", "Vendredi"),
    ("Saturday", "Sábado", "Samedi"),
)

MONTHS = (
    ("January", "Enero", "Janvier"),
    ("February", "Febrero", "Février"),
    ("March", "Marzo", "Mars"),
    ("April", "Abril", "Avril"),
    ("May", "Mayo", "Mai"),
    ("June", "Junio", "Juin"),
    ("July", "Julio", "Juillet"),
    ("August", "Agosto", "Août"),
    ("September", "Septiembre", "Septembre"),
    ("October", "Octubre", "Octobre"),
    ("November", "Noviembre", "Novembre"),
    ("December", "Diciembre", "Décembre"),
)

COLUMNS = (
    Column("DateKey", "int", nullable=False),
    Column("FullDateAlternateKey", "date", nullable=False),
    Column("DayNumberOfWeek", "tinyint", nullable=False),
    Column("EnglishDayNameOfWeek", "nvarchar(10)", nullable=False),
    Column("SpanishDayNameOfWeek", "nvarchar(10)", nullable=False),
    Column("FrenchDayNameOfWeek", "nvarchar(10)", nullable=False),
    Column("DayNumberOfMonth", "tinyint", nullable=False),
    Column("DayNumberOfYear", "smallint", nullable=False),
    Column("WeekNumberOfYear", "tinyint", nullable=False),
    Column("EnglishMonthName", "nvarchar(10)", nullable=False),
    Column("SpanishMonthName", "nvarchar(10)", nullable=False),
    Column("FrenchMonthName", "nvarchar(10)", nullable=False),
    Column("MonthNumberOfYear", "tinyint", nullable=False),
    Column("CalendarQuarter", "tinyint", nullable=False),
    Column("CalendarYear", "smallint", nullable=False),
    Column("CalendarSemester", "tinyint", nullable=False),
    Column("FiscalQuarter", "tinyint", nullable=False),
    Column("FiscalYear", "smallint", nullable=False),
    Column("FiscalSemester", "tinyint", nullable=False),
)


def date_table() -> SampleTable:
    """Return DimDate: 3,652 rows."""
    return sample_table("DimDate", COLUMNS, ("DateKey",), DAYS, _batches)


def date_keys(days: np.ndarray) -> np.ndarray:
    """Return the keys (yyyymmdd) of days since 1970-01-01."""
    dates = days.astype("datetime64[D]")
    months = dates.astype("datetime64[M]")
    day_of_month = (dates - months).astype(np.int64) + 1
    month_count = months.astype(np.int64)
    year, month = 1970 + month_count // 12, 1 + month_count % 12
    return (year * 10_000 + month * 100 + day_of_month).astype(np.int32)


def _batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    days = (FIRST_DAY + datetime.timedelta(days=offset) for offset in range(DAYS))
    yield batch_of_rows(schema, [_row(day) for day in days])


def _row(day: datetime.date) -> tuple[object, ...]:
    weekday = day.isoweekday() % 7  # weeks start on Sunday, as by default in SQL Server
    new_year = day.replace(month=1, day=1)
    day_of_year = (day - new_year).days + 1
    week = (day_of_year - 1 + new_year.isoweekday() % 7) // 7 + 1
    quarter = (day.month - 1) // 3 + 1
    fiscal_year = day.year + (day.month >= 7)  # the fiscal year starts in July
    fiscal_quarter = (quarter + 1) % 4 + 1
    return (
        day.year * 10_000 + day.month * 100 + day.day,
        day,
        weekday + 1,
        *WEEKDAYS[weekday],
        day.day,
        day_of_year,
        week,
        *MONTHS[day.month - 1],
        day.month,
        quarter,
        day.year,
        (quarter + 1) // 2,
        fiscal_quarter,
        fiscal_year,
        (fiscal_quarter + 1) // 2,
    )
