"""All tables of the sample, in an order in which every referenced table comes first."""

from standins.sample.categories import category_table, subcategory_table, territory_table
from standins.sample.customers import customer_table
from standins.sample.dates import date_table
from standins.sample.products import product_table
from standins.sample.sales import sales_table
from standins.sample.tables import SampleTable

DEFAULT_SEED = 20_010


def sample_tables(scale: float = 1.0, seed: int = DEFAULT_SEED) -> tuple[SampleTable, ...]:
    """Return the tables of the sample warehouse.

    Args:
        scale: Size of FactInternetSales and DimCustomer; 1 gives 60,398 and 18,484 rows. Other tables are fixed.
        seed: Equal seed and scale give equal bytes, in any process.

    Raises:
        ValueError: If the scale is not a positive number.

    Example:
        >>> [table.rows for table in sample_tables()]
        [4, 37, 606, 11, 3652, 18484, 60398]
    """
    if not 0 < scale < float("inf"):
        raise ValueError(f"scale must be a positive number, not {scale}")
    return (
        category_table(),
        subcategory_table(),
        product_table(seed),
        territory_table(),
        date_table(),
        customer_table(scale, seed),
        sales_table(scale, seed),
    )
