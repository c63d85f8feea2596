"""The sample warehouse: shape, consistency, and the same bytes every time."""

import datetime
import hashlib
import subprocess
import sys
from collections.abc import Mapping
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from standins.sample import SampleTable, sample_tables
from standins.sample.arrays import money

DIGEST = """
import hashlib, io, sys
import numpy as np
import pyarrow as pa
from standins.sample import sample_tables

digest = hashlib.sha256()
for table in sample_tables(0.05, seed=7):
    for batch in table.batches():
        digest.update(batch.serialize())
sys.stdout.write(digest.hexdigest())
"""


def read(table: SampleTable) -> pa.Table:
    return pa.Table.from_batches(table.batches(), table.schema)


@pytest.fixture(scope="module")
def warehouse() -> Mapping[str, pa.Table]:
    return {table.name: read(table) for table in sample_tables()}


def test_scale_one_has_the_row_counts_of_the_original(warehouse: Mapping[str, pa.Table]):
    assert {name: len(rows) for name, rows in warehouse.items()} == {
        "DimProductCategory": 4,
        "DimProductSubcategory": 37,
        "DimProduct": 606,
        "DimSalesTerritory": 11,
        "DimDate": 3652,
        "DimCustomer": 18_484,
        "FactInternetSales": 60_398,
    }
    assert warehouse["FactInternetSales"].num_columns == 26
    assert warehouse["DimProduct"].num_columns == 36


@pytest.mark.parametrize("scale", [0.001, 0.05, 2.5])
def test_every_table_says_beforehand_how_many_rows_it_has(scale: float):
    for table in sample_tables(scale):
        assert sum(len(batch) for batch in table.batches()) == table.rows
        assert all(batch.schema == table.schema for batch in table.batches())


def test_every_column_is_whole_and_keeps_its_promise_on_nulls():
    for table in sample_tables(0.05):
        rows = read(table)
        rows.validate(full=True)
        for field in table.schema:
            assert field.nullable or rows[field.name].null_count == 0, field.name


def test_text_fits_the_width_its_column_declares():
    for table in sample_tables(0.05):
        rows = read(table)
        for line in table.ddl.splitlines():
            name, _, sql_type = line.strip().partition("] ")
            if not sql_type.startswith(("nvarchar(", "nchar(")):
                continue
            width = int(sql_type.split("(")[1].split(")")[0])
            longest = pc.max(pc.utf8_length(rows[name[1:]])).as_py()
            assert longest is None or longest <= width, f"{table.name}.{name}"


def test_equal_seed_and_scale_give_equal_bytes_in_another_process():
    digest = hashlib.sha256()
    for table in sample_tables(0.05, seed=7):
        for batch in table.batches():
            digest.update(batch.serialize())
    other = subprocess.run([sys.executable, "-c", DIGEST], capture_output=True, check=True)
    assert other.stdout.decode() == digest.hexdigest()


def test_another_seed_gives_other_sales():
    first, second = (read(sample_tables(0.01, seed=seed)[-1]) for seed in (1, 2))
    assert not first.equals(second)


@pytest.mark.parametrize(
    ("column", "dimension", "key"),
    [
        ("ProductKey", "DimProduct", "ProductKey"),
        ("CustomerKey", "DimCustomer", "CustomerKey"),
        ("SalesTerritoryKey", "DimSalesTerritory", "SalesTerritoryKey"),
        ("OrderDateKey", "DimDate", "DateKey"),
        ("DueDateKey", "DimDate", "DateKey"),
        ("ShipDateKey", "DimDate", "DateKey"),
    ],
)
def test_every_foreign_key_of_the_fact_resolves(
    warehouse: Mapping[str, pa.Table], column: str, dimension: str, key: str
):
    found = pc.is_in(warehouse["FactInternetSales"][column], warehouse[dimension][key])
    assert pc.all(found).as_py()


@pytest.mark.parametrize("table", sample_tables(), ids=lambda table: table.name)
def test_the_primary_key_is_unique(warehouse: Mapping[str, pa.Table], table: SampleTable):
    key = table.ddl.rsplit("primary key (", 1)[1].split(")")[0]
    columns = [name.strip().strip("[]") for name in key.split(",")]
    rows = warehouse[table.name].select(columns)
    assert len(rows.group_by(columns).aggregate([])) == table.rows


def test_orders_keep_their_keys_unique_across_blocks():
    fact = read(sample_tables(2.5)[-1])
    key = ["SalesOrderNumber", "SalesOrderLineNumber"]
    assert len(fact.group_by(key).aggregate([])) == len(fact) == 150_995


def test_money_adds_up_on_every_line(warehouse: Mapping[str, pa.Table]):
    fact = warehouse["FactInternetSales"]
    quantity = fact["OrderQuantity"].cast(pa.decimal128(5, 0))
    exact = pa.decimal128(25, 4)
    extended = pc.multiply(fact["UnitPrice"], quantity).cast(exact)
    cost = pc.multiply(fact["ProductStandardCost"], quantity).cast(exact)
    assert extended.equals(fact["ExtendedAmount"].cast(exact))
    assert extended.equals(fact["SalesAmount"].cast(exact))
    assert cost.equals(fact["TotalProductCost"].cast(exact))
    assert pc.min(fact["UnitPrice"]).as_py() > 0


def test_the_date_keys_are_the_dates(warehouse: Mapping[str, pa.Table]):
    fact = warehouse["FactInternetSales"]
    for name in ("OrderDate", "DueDate", "ShipDate"):
        keys = pc.strftime(fact[name], "%Y%m%d").cast(pa.int32())
        assert keys.to_pylist() == fact[f"{name}Key"].to_pylist()


def test_sales_fall_in_every_month_of_several_years(warehouse: Mapping[str, pa.Table]):
    keys = warehouse["FactInternetSales"]["OrderDateKey"].to_numpy()
    months = [int(month) for month in np.unique(keys // 100)]
    years = {2011: 12, 2012: 12, 2013: 12}
    assert {year: sum(month // 100 == year for month in months) for year in years} == years
    assert (min(months), max(months)) == (201012, 201401)


def test_lines_of_one_order_share_its_customer_and_day(warehouse: Mapping[str, pa.Table]):
    shared = ["SalesOrderNumber", "CustomerKey", "OrderDateKey", "SalesTerritoryKey"]
    fact = warehouse["FactInternetSales"]
    orders = pc.count_distinct(fact["SalesOrderNumber"]).as_py()
    assert len(fact.select(shared).group_by(shared).aggregate([])) == orders


def test_nobody_buys_before_the_first_purchase_day(warehouse: Mapping[str, pa.Table]):
    first_order = (
        warehouse["FactInternetSales"]
        .group_by("CustomerKey")
        .aggregate([("OrderDate", "min")])
        .join(warehouse["DimCustomer"].select(["CustomerKey", "DateFirstPurchase"]), "CustomerKey")
    )
    days = first_order["OrderDate_min"].cast(pa.date32())
    assert pc.all(pc.greater_equal(days, first_order["DateFirstPurchase"])).as_py()


def test_products_are_sold_in_the_version_valid_on_the_day(warehouse: Mapping[str, pa.Table]):
    products = warehouse["DimProduct"].select(["ProductKey", "StartDate", "EndDate", "ListPrice"])
    sold = warehouse["FactInternetSales"].select(["ProductKey", "OrderDate", "UnitPrice"])
    lines = sold.join(products, "ProductKey")
    assert pc.all(pc.greater_equal(lines["OrderDate"], lines["StartDate"])).as_py()
    ended = lines.filter(pc.is_valid(lines["EndDate"]))
    assert len(ended) > 0
    assert pc.all(pc.less_equal(ended["OrderDate"], ended["EndDate"])).as_py()
    assert pc.all(pc.equal(lines["UnitPrice"], lines["ListPrice"])).as_py()


def test_most_orders_have_no_customer_reference(warehouse: Mapping[str, pa.Table]):
    references = warehouse["FactInternetSales"]["CustomerPONumber"]
    assert 0.9 < references.null_count / len(references) < 1


def test_the_four_categories_are_the_known_ones(warehouse: Mapping[str, pa.Table]):
    names = warehouse["DimProductCategory"].select([2, 3, 4]).to_pylist()
    assert [row["EnglishProductCategoryName"] for row in names] == [
        "Bikes",
        "Components",
        "Clothing",
        "Accessories",
    ]
    assert names[0]["FrenchProductCategoryName"] == "Vélos"


def test_the_calendar_knows_its_days(warehouse: Mapping[str, pa.Table]):
    day = warehouse["DimDate"].filter(pc.field("DateKey") == 20120229).to_pylist()[0]
    assert day["FullDateAlternateKey"] == datetime.date(2012, 2, 29)
    assert (day["EnglishDayNameOfWeek"], day["DayNumberOfWeek"]) == ("Wednesday", 4)
    assert (day["DayNumberOfYear"], day["WeekNumberOfYear"]) == (60, 9)
    assert (day["CalendarQuarter"], day["FiscalQuarter"], day["FiscalYear"]) == (1, 3, 2012)


def test_money_is_exact_and_keeps_its_sign():
    amounts = money(np.array([1, -1, 9_223_372_036_854_775_807, -(2**63)], dtype=np.int64))
    assert amounts.to_pylist() == [
        Decimal("0.0001"),
        Decimal("-0.0001"),
        Decimal("922337203685477.5807"),
        Decimal("-922337203685477.5808"),
    ]


@pytest.mark.parametrize("scale", [0, -1, float("inf"), float("nan")])
def test_a_scale_that_is_no_size_is_refused(scale: float):
    with pytest.raises(ValueError, match="scale must be a positive number"):
        sample_tables(scale)
