"""The tables that are moved: narrow, wide, full of texts, full of large values. The same seed gives the same rows.

Each is made of a seed of a few thousand rows that repeats with other keys, so that the SQL Server can fill its copy
itself, by `insert ... select`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

SEED_ROWS = 4_096
KEY = "Id"


@dataclass(frozen=True, slots=True)
class Shape:
    """A table to move.

    Args:
        name: Its name in titles and, after `bench_`, in databases.
        meaning: What it looks like.
        columns: Name, T-SQL type and whether it may be null, in order; the key comes first.
        seed: Makes the first `SEED_ROWS` rows, without the key.
        share: Rows it has for each row of the wide one, so that all of them are measured in a few minutes.
    """

    name: str
    meaning: str
    columns: tuple[tuple[str, str, bool], ...]
    seed: Callable[[np.random.Generator], list[pa.Array]]
    share: float = 1.0

    def table(self, rows: int) -> str:
        """The name in the source of the table with so many rows."""
        return f"bench_{self.name}_{rows}"

    def rows(self, wanted: int) -> int:
        """How many rows it has when so many were asked for."""
        return max(1, round(wanted * self.share))

    def seed_batch(self) -> pa.RecordBatch:
        """The rows it is made of."""
        arrays = self.seed(np.random.default_rng(20240229))
        keys = pa.array(range(1, SEED_ROWS + 1), pa.int32())
        return pa.RecordBatch.from_arrays(
            [keys, *arrays], names=[name for name, _, _ in self.columns]
        )

    def batches(self, rows: int) -> Iterator[pa.RecordBatch]:
        """So many rows, made as they are asked for."""
        seed = self.seed_batch()
        for start in range(0, rows, SEED_ROWS):
            part = seed.slice(0, min(SEED_ROWS, rows - start))
            keys = pc.add(part.column(0), pa.scalar(start, pa.int32()))
            yield pa.RecordBatch.from_arrays([keys, *part.columns[1:]], names=part.schema.names)

    def ddl(self, table: str) -> str:
        """The T-SQL statement that makes it."""
        columns = ", ".join(
            f"[{name}] {type_} {'null' if nullable else 'not null'}"
            for name, type_, nullable in self.columns
        )
        return f"create table {table} ({columns}, primary key ([{KEY}]))"


def _decimals(random: np.random.Generator, most: int, type_: pa.Decimal128Type) -> pa.Array:
    units = pa.array(random.integers(0, most, SEED_ROWS)).cast(pa.decimal128(19, 0))
    return pa.Array.from_buffers(pa.decimal128(19, type_.scale), SEED_ROWS, units.buffers()).cast(
        type_
    )


def _moments(random: np.random.Generator) -> pa.Array:
    seconds = random.integers(1_500_000_000, 1_700_000_000, SEED_ROWS)
    return pa.array(seconds * 1_000_000).cast(pa.timestamp("us"))


def _texts(random: np.random.Generator, shortest: int, longest: int) -> pa.Array:
    letters = np.array(list("abcdefghijklmnopqrstuvwxyz ABCDEFGH0123456789-éßπ"))
    lengths = random.integers(shortest, longest + 1, SEED_ROWS)
    # A text never ends with a blank here: some tools trim it, which the table of types shows.
    return pa.array(
        [
            "".join(letters[random.integers(0, len(letters), length)]).rstrip() + "."
            for length in lengths
        ]
    )


def _some_null(random: np.random.Generator, array: pa.Array) -> pa.Array:
    return pc.if_else(pa.array(random.random(SEED_ROWS) < 0.9), array, None)


def _narrow(random: np.random.Generator) -> list[pa.Array]:
    return [
        pa.array(random.integers(0, 10_000, SEED_ROWS), pa.int32()),
        _decimals(random, 10**9, pa.decimal128(18, 4)),
        _moments(random),
        pa.array(random.random(SEED_ROWS) < 0.5),
    ]


def _wide(random: np.random.Generator) -> list[pa.Array]:
    """The first rows of the sample's FactInternetSales."""
    from standins.sample import sample_tables

    (fact,) = [table for table in sample_tables() if table.name == "FactInternetSales"]
    first = next(iter(fact.batches())).slice(0, SEED_ROWS)
    if first.num_rows < SEED_ROWS:
        raise ValueError(f"The sample's first batch has only {first.num_rows} rows.")
    # Nothing but nulls would be cheap to move: half of the tracking numbers are filled in.
    columns = dict(zip(first.schema.names, first.columns, strict=True))
    columns["CarrierTrackingNumber"] = _some_null(random, _texts(random, 10, 20)).cast(
        pa.large_string()
    )
    return list(columns.values())


def _strings(random: np.random.Generator) -> list[pa.Array]:
    return [_some_null(random, _texts(random, 20, 98)) for _ in range(10)]


def _large(random: np.random.Generator) -> list[pa.Array]:
    bytes_ = [random.bytes(int(size)) for size in random.integers(500, 4_000, SEED_ROWS)]
    return [_texts(random, 1_000, 6_000), pa.array(bytes_, pa.binary())]


_WIDE_COLUMNS = (
    ("ProductKey", "int", False),
    ("OrderDateKey", "int", False),
    ("DueDateKey", "int", False),
    ("ShipDateKey", "int", False),
    ("CustomerKey", "int", False),
    ("PromotionKey", "int", False),
    ("CurrencyKey", "int", False),
    ("SalesTerritoryKey", "int", False),
    ("SalesOrderNumber", "nvarchar(20)", False),
    ("SalesOrderLineNumber", "tinyint", False),
    ("RevisionNumber", "tinyint", False),
    ("OrderQuantity", "smallint", False),
    ("UnitPrice", "money", False),
    ("ExtendedAmount", "money", False),
    ("UnitPriceDiscountPct", "float", False),
    ("DiscountAmount", "float", False),
    ("ProductStandardCost", "money", False),
    ("TotalProductCost", "money", False),
    ("SalesAmount", "money", False),
    ("TaxAmt", "money", False),
    ("Freight", "money", False),
    ("CarrierTrackingNumber", "nvarchar(25)", True),
    ("CustomerPONumber", "nvarchar(25)", True),
    ("OrderDate", "datetime", True),
    ("DueDate", "datetime", True),
    ("ShipDate", "datetime", True),
)

SHAPES = (
    Shape(
        "wide",
        "FactInternetSales: its 26 columns and a key",
        ((KEY, "int", False), *_WIDE_COLUMNS),
        _wide,
    ),
    Shape(
        "narrow",
        "5 columns: key, int, decimal(18,4), datetime2(6), bit",
        (
            (KEY, "int", False),
            ("Customer", "int", False),
            ("Amount", "decimal(18,4)", False),
            ("At", "datetime2(6)", False),
            ("Paid", "bit", False),
        ),
        _narrow,
        share=0.25,
    ),
    Shape(
        "text",
        "a key and ten nvarchar(100), a tenth of them null",
        ((KEY, "int", False), *((f"Text{n}", "nvarchar(100)", True) for n in range(1, 11))),
        _strings,
        share=0.1,
    ),
    Shape(
        "lob",
        "a key, nvarchar(max) of 1,000 to 6,000 characters, varbinary(max) of 500 to 4,000 bytes",
        ((KEY, "int", False), ("Body", "nvarchar(max)", True), ("Picture", "varbinary(max)", True)),
        _large,
        share=0.01,
    ),
)
"""All of them; `wide` is the one that everything is measured with."""


def shape(name: str) -> Shape:
    """The shape of a name."""
    (found,) = [one for one in SHAPES if one.name == name]
    return found
