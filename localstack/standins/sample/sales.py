"""FactInternetSales: order lines in the order of their dates, made block by block.

Each block has its own random generator and a fixed number of orders, so any block can be made alone, memory holds
one block whatever the scale, and equal seed and scale give equal bytes.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from standins.sample.arrays import (
    datetimes,
    emptied,
    joined,
    money,
    numbers,
    random_generator,
    zero_padded,
)
from standins.sample.calendar_of_sales import DUE_DAYS, SHIPPING_DAYS, day_of_progress
from standins.sample.customers import FIRST_KEY, customer_count, territory_keys
from standins.sample.dates import date_keys
from standins.sample.products import Catalogue, catalogue
from standins.sample.tables import Column, SampleTable, sample_table

LINES_AT_SCALE_ONE = 60_398
LINES_PER_BLOCK = 65_536
FIRST_ORDER_NUMBER = 43_697
RANDOM_STREAM = 3

LINES_OF_16_ORDERS = (1, 1, 1, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 4)
"""How many lines 16 orders have, 32 together; every block repeats this in a shuffled order."""
ORDERS_PER_BLOCK = LINES_PER_BLOCK // sum(LINES_OF_16_ORDERS) * len(LINES_OF_16_ORDERS)

CURRENCY_BY_TERRITORY = (100, 100, 100, 100, 100, 19, 36, 36, 6, 98)
PROMOTION_KEYS = (1, 1, 1, 1, 1, 1, 1, 1, 2, 13)

COLUMNS = (
    Column("ProductKey", "int", nullable=False),
    Column("OrderDateKey", "int", nullable=False),
    Column("DueDateKey", "int", nullable=False),
    Column("ShipDateKey", "int", nullable=False),
    Column("CustomerKey", "int", nullable=False),
    Column("PromotionKey", "int", nullable=False),
    Column("CurrencyKey", "int", nullable=False),
    Column("SalesTerritoryKey", "int", nullable=False),
    Column("SalesOrderNumber", "nvarchar(20)", nullable=False),
    Column("SalesOrderLineNumber", "tinyint", nullable=False),
    Column("RevisionNumber", "tinyint", nullable=False),
    Column("OrderQuantity", "smallint", nullable=False),
    Column("UnitPrice", "money", nullable=False),
    Column("ExtendedAmount", "money", nullable=False),
    Column("UnitPriceDiscountPct", "float", nullable=False),
    Column("DiscountAmount", "float", nullable=False),
    Column("ProductStandardCost", "money", nullable=False),
    Column("TotalProductCost", "money", nullable=False),
    Column("SalesAmount", "money", nullable=False),
    Column("TaxAmt", "money", nullable=False),
    Column("Freight", "money", nullable=False),
    Column("CarrierTrackingNumber", "nvarchar(25)"),
    Column("CustomerPONumber", "nvarchar(25)"),
    Column("OrderDate", "datetime"),
    Column("DueDate", "datetime"),
    Column("ShipDate", "datetime"),
)
KEY = ("SalesOrderNumber", "SalesOrderLineNumber")


def line_count(scale: float) -> int:
    """Return how many order lines there are at a scale."""
    return round(LINES_AT_SCALE_ONE * scale)


def sales_table(scale: float, seed: int) -> SampleTable:
    """Return FactInternetSales: 60,398 rows at scale 1, in batches of at most 65,536 rows."""
    lines, customers = line_count(scale), customer_count(scale)

    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        products = catalogue(seed)
        for block in range(-(-lines // LINES_PER_BLOCK)):
            generator = random_generator(seed, RANDOM_STREAM, block)
            columns = _block(block, lines, customers, products, generator)
            batch = pa.record_batch(columns, schema=schema)
            yield batch.slice(0, lines - block * LINES_PER_BLOCK)

    return sample_table("FactInternetSales", COLUMNS, KEY, lines, batches)


def _block(
    block: int, lines: int, customers: int, products: Catalogue, generator: np.random.Generator
) -> list[pa.Array]:
    """Make one block of whole orders; the last one of the table is cut to size by the caller."""
    repeats = ORDERS_PER_BLOCK // len(LINES_OF_16_ORDERS)
    shuffled = np.argsort(generator.random(ORDERS_PER_BLOCK), kind="stable")
    line_counts = np.tile(LINES_OF_16_ORDERS, repeats)[shuffled]
    first_lines = np.cumsum(line_counts) - line_counts
    progress = np.minimum((block * LINES_PER_BLOCK + first_lines) / lines, 1.0)

    # Of each order: its day, a customer who has joined by then, and what follows from the customer.
    days = day_of_progress(progress)
    joined_by_then = np.minimum(np.floor(progress * customers), customers - 1) + 1
    ranks = (generator.random(ORDERS_PER_BLOCK) * joined_by_then).astype(np.int64)
    territories = territory_keys(ranks)
    currencies = np.array(CURRENCY_BY_TERRITORY, dtype=np.int32)[territories - 1]
    order_numbers = FIRST_ORDER_NUMBER + block * ORDERS_PER_BLOCK + np.arange(ORDERS_PER_BLOCK)
    order_names = joined("SO", numbers(order_numbers))
    tracking = _tracking_numbers(generator)
    purchase_orders = _purchase_order_numbers(generator)

    # Of each line: its order, its product in the version valid on that day, and the money.
    order = np.repeat(np.arange(ORDERS_PER_BLOCK), line_counts)
    order_of_line = numbers(order)
    line_numbers = np.arange(LINES_PER_BLOCK) - first_lines[order] + 1
    day = days[order]
    product = _popular(generator, len(products.keys))
    version = (day >= products.second_version_start).astype(np.int64)
    unit_price = products.list_prices[product, version]
    unit_cost = products.standard_costs[product, version]
    quantity = 1 + (generator.random(LINES_PER_BLOCK) ** 4 * 4).astype(np.int64)
    amount = unit_price * quantity
    promotion = np.array(PROMOTION_KEYS, dtype=np.int32)
    no_discount = numbers(np.zeros(LINES_PER_BLOCK))
    return [
        numbers(products.keys[product, version].astype(np.int32)),
        numbers(date_keys(day)),
        numbers(date_keys(day + DUE_DAYS)),
        numbers(date_keys(day + SHIPPING_DAYS)),
        numbers((ranks[order] + FIRST_KEY).astype(np.int32)),
        numbers(promotion[(generator.random(LINES_PER_BLOCK) * len(promotion)).astype(np.int64)]),
        numbers(currencies[order]),
        numbers(territories[order]),
        order_names.take(order_of_line),
        numbers(line_numbers.astype(np.uint8)),
        numbers(np.ones(LINES_PER_BLOCK, dtype=np.uint8)),
        numbers(quantity.astype(np.int16)),
        money(unit_price),
        money(amount),
        no_discount,
        no_discount,
        money(unit_cost),
        money(unit_cost * quantity),
        money(amount),
        money(amount * 8 // 100),
        money(amount * 25 // 1000),
        tracking.take(order_of_line),
        purchase_orders.take(order_of_line),
        datetimes(day),
        datetimes(day + DUE_DAYS),
        datetimes(day + SHIPPING_DAYS),
    ]


def _popular(generator: np.random.Generator, products: int) -> np.ndarray:
    """Return one product per line; a few products sell far more often than the rest."""
    popularity = np.argsort(random_generator(products).random(products), kind="stable")
    draws = generator.random(LINES_PER_BLOCK)
    return popularity[(draws * draws * products).astype(np.int64)]


def _tracking_numbers(generator: np.random.Generator) -> pa.Array:
    """Return a tracking number for about a third of the orders."""
    digits = (generator.random(ORDERS_PER_BLOCK) * 1_000_000_000).astype(np.int64)
    missing = generator.random(ORDERS_PER_BLOCK) >= 0.33
    return emptied(joined("TRK-", zero_padded(digits, 9)), missing)


def _purchase_order_numbers(generator: np.random.Generator) -> pa.Array:
    """Return a purchase order number for about one order in fifty."""
    digits = (generator.random(ORDERS_PER_BLOCK) * 100_000_000).astype(np.int64)
    missing = generator.random(ORDERS_PER_BLOCK) >= 0.02
    return emptied(joined("PO", zero_padded(digits, 8)), missing)
