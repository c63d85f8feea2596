"""DimProduct: 209 raw parts that are never sold alone and 397 products, some of them in two versions.

A product whose price changed keeps its alternate key and has two rows, valid before and after the change
(a slowly changing dimension of type 2). `catalogue` gives the fact table what may be sold, when, and for how much.
"""

import datetime
from collections.abc import Iterator
from dataclasses import dataclass
from decimal import Decimal

import numpy as np
import pyarrow as pa

from standins.sample.arrays import batch_of_rows, picture, random_generator
from standins.sample.categories import CATEGORIES, SUBCATEGORIES
from standins.sample.product_texts import (
    COLORS,
    DESCRIPTIONS,
    MODEL_NAMES,
    PART_MATERIALS,
    PART_NAMES,
)
from standins.sample.tables import Column, SampleTable, sample_table

PARTS = 209
RANDOM_STREAM = 2
ROWS_BY_SUBCATEGORY = (
    40, 46, 26,
    7, 7, 7, 7, 7, 7, 7, 7, 25, 7, 25, 7, 25, 7,
    8, 8, 8, 8, 8, 8, 8, 8,
    5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 5, 14,
)  # fmt: skip
PRICE_RANGES = {"Bikes": (540, 3_600), "Components": (20, 1_400), "Clothing": (9, 90), "Accessories": (2, 160)}  # fmt: skip
"""Lowest and highest list price by category, in dollars."""

FIRST_VERSION_START = datetime.datetime(2010, 7, 1)
SECOND_VERSION_START = datetime.datetime(2012, 7, 1)

COLUMNS = (
    Column("ProductKey", "int", nullable=False),
    Column("ProductAlternateKey", "nvarchar(25)"),
    Column("ProductSubcategoryKey", "int"),
    Column("WeightUnitMeasureCode", "nchar(3)"),
    Column("SizeUnitMeasureCode", "nchar(3)"),
    Column("EnglishProductName", "nvarchar(50)", nullable=False),
    Column("SpanishProductName", "nvarchar(50)", nullable=False),
    Column("FrenchProductName", "nvarchar(50)", nullable=False),
    Column("StandardCost", "money"),
    Column("FinishedGoodsFlag", "bit", nullable=False),
    Column("Color", "nvarchar(15)", nullable=False),
    Column("SafetyStockLevel", "smallint"),
    Column("ReorderPoint", "smallint"),
    Column("ListPrice", "money"),
    Column("Size", "nvarchar(50)"),
    Column("SizeRange", "nvarchar(50)"),
    Column("Weight", "float"),
    Column("DaysToManufacture", "int"),
    Column("ProductLine", "nchar(2)"),
    Column("DealerPrice", "money"),
    Column("Class", "nchar(2)"),
    Column("Style", "nchar(2)"),
    Column("ModelName", "nvarchar(50)"),
    Column("LargePhoto", "varbinary(max)"),
    Column("EnglishDescription", "nvarchar(400)"),
    Column("FrenchDescription", "nvarchar(400)"),
    Column("ChineseDescription", "nvarchar(400)"),
    Column("ArabicDescription", "nvarchar(400)"),
    Column("HebrewDescription", "nvarchar(400)"),
    Column("ThaiDescription", "nvarchar(400)"),
    Column("GermanDescription", "nvarchar(400)"),
    Column("JapaneseDescription", "nvarchar(400)"),
    Column("TurkishDescription", "nvarchar(400)"),
    Column("StartDate", "datetime"),
    Column("EndDate", "datetime"),
    Column("Status", "nvarchar(7)"),
)


@dataclass(frozen=True, slots=True)
class Catalogue:
    """What internet customers buy: one entry per product, with its key and money before and after the price change.

    Every array has two columns: the version valid before `second_version_start` and the one valid from then on
    (the same twice for a product that never changed). Money is in ten-thousandths of a dollar.
    """

    keys: np.ndarray
    list_prices: np.ndarray
    standard_costs: np.ndarray
    second_version_start: int
    """In days since 1970-01-01."""


def product_table(seed: int) -> SampleTable:
    """Return DimProduct: 606 rows."""

    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        yield batch_of_rows(schema, _rows(seed))

    rows = PARTS + sum(ROWS_BY_SUBCATEGORY)
    return sample_table("DimProduct", COLUMNS, ("ProductKey",), rows, batches)


def catalogue(seed: int) -> Catalogue:
    """Return the products that the fact table sells: every finished one that is not a component."""
    position = {column.name: index for index, column in enumerate(COLUMNS)}
    sold: dict[str, list[list[int]]] = {}
    for row in _rows(seed):
        subcategory = row[position["ProductSubcategoryKey"]]
        if not isinstance(subcategory, int) or _category(subcategory - 1) == "Components":
            continue
        price, cost = row[position["ListPrice"]], row[position["StandardCost"]]
        version = [row[position["ProductKey"]], _ten_thousandths(price), _ten_thousandths(cost)]
        sold.setdefault(str(row[position["ProductAlternateKey"]]), []).append(version)
    versions = np.array([[rows[0], rows[-1]] for rows in sold.values()], dtype=np.int64)
    change = (SECOND_VERSION_START.date() - datetime.date(1970, 1, 1)).days
    return Catalogue(versions[:, :, 0], versions[:, :, 1], versions[:, :, 2], change)


def _ten_thousandths(amount: object) -> int:
    return int(Decimal(str(amount)).scaleb(4))


def _category(subcategory: int) -> str:
    return CATEGORIES[SUBCATEGORIES[subcategory][0] - 1][0]


def _rows(seed: int) -> list[tuple[object, ...]]:
    rows = [_part(index) for index in range(PARTS)]
    for subcategory, count in enumerate(ROWS_BY_SUBCATEGORY):
        generator = random_generator(seed, RANDOM_STREAM, subcategory)
        changed = count // 4  # so many products have two versions
        for number in range(count - changed):
            rows += _versions(subcategory, number, number < changed, generator)
    return [(key, *row) for key, row in enumerate(rows, start=1)]


def _part(index: int) -> tuple[object, ...]:
    material, color = PART_MATERIALS[index % len(PART_MATERIALS)]
    name = f"{material} {PART_NAMES[index // len(PART_MATERIALS)]}"
    return (
        f"RP-{1000 + index}",
        None, None, None,
        name, "", "",
        None, False, color, 1000 - index % 5 * 100, 750 - index % 5 * 75, None,
        None, None, None, index % 2, None, None, None, None, None, None,
        *[None] * 9,
        FIRST_VERSION_START, None, "Current",
    )  # fmt: skip


def _versions(
    subcategory: int, number: int, changed: bool, generator: np.random.Generator
) -> list[tuple[object, ...]]:
    """Return the one or two rows of a product, without their key."""
    category = _category(subcategory)
    model_name = f"{MODEL_NAMES[number // 4 % len(MODEL_NAMES)]}-{100 * (1 + number // 4)}"
    color, spanish_color, french_color, red_green_blue = COLORS[number % len(COLORS)]
    size = _size(category, number)
    noun = SUBCATEGORIES[subcategory][1].removesuffix("s")
    tail = "" if size is None else f", {size}"
    low, high = PRICE_RANGES[category]
    cents = int(100 * low + generator.random() * 100 * (high - low))
    weighed = category in {"Bikes", "Components"}
    grams = int(generator.random() * 9_000) + 400

    def row(
        price_cents: int, start: datetime.datetime, end: datetime.datetime | None
    ) -> tuple[object, ...]:
        price = Decimal(price_cents).scaleb(-2)
        return (
            f"{noun[:2].upper()}-{subcategory + 1:02d}{number:02d}-{100 + number}",
            subcategory + 1,
            "G  " if weighed else None,
            "CM " if weighed and size is not None else None,
            f"{noun} {model_name} {color}{tail}"[:50],
            f"{model_name} {spanish_color}{tail}",
            f"{model_name} {french_color}{tail}",
            (price * 58 / 100).quantize(Decimal("0.0001")),
            True,
            color,
            100 if category == "Bikes" else 500,
            75 if category == "Bikes" else 375,
            price,
            size,
            _size_range(size),
            float(grams) if weighed else None,
            4 if category == "Bikes" else 1,
            ("M ", "R ", "T ", "S ")[subcategory % 4],
            (price * 60 / 100).quantize(Decimal("0.0001")),
            ("H ", "M ", "L ", None)[number % 4],
            ("U ", "W ", "M ", None)[number // 2 % 4],
            model_name,
            picture(*red_green_blue),
            *DESCRIPTIONS[category],
            start,
            end,
            None if end else "Current",
        )

    if not changed:
        return [row(cents, FIRST_VERSION_START, None)]
    last_day_of_old = SECOND_VERSION_START - datetime.timedelta(days=1)
    return [
        row(cents * 94 // 100, FIRST_VERSION_START, last_day_of_old),
        row(cents, SECOND_VERSION_START, None),
    ]


def _size(category: str, number: int) -> str | None:
    if category == "Clothing":
        return ("S", "M", "L", "XL")[number % 4]
    if category == "Bikes":
        return str(38 + number % 4 * 6)
    return None if number % 3 else str(40 + number)


def _size_range(size: str | None) -> str:
    if size is None:
        return "NA"
    if size.isdigit():
        first = int(size) // 4 * 4
        return f"{first}-{first + 3} CM"
    return size
