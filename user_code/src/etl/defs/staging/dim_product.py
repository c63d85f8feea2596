"""The product dimension: product, subcategory and category in one row."""

import dagster as dg
import polars as pl

from etl.retries import TRANSIENT_FAULTS
from tranship.failures import as_failures
from tranship.postgres.resource import PostgresResource

DIM_PRODUCT = dg.AssetKey(["staging", "dim_product"])


def _staged(name: str, columns: list[str]) -> dg.AssetIn:
    return dg.AssetIn(key=["staging", name], metadata={"columns": columns})


@dg.asset(
    key=DIM_PRODUCT,
    io_manager_key="staging",
    group_name="staging",
    kinds={"polars", "postgres"},
    retry_policy=TRANSIENT_FAULTS,
    ins={
        "products": _staged(
            "DimProduct",
            [
                "ProductKey",
                "ProductAlternateKey",
                "ProductSubcategoryKey",
                "EnglishProductName",
                "Color",
                "StandardCost",
                "ListPrice",
                "StartDate",
                "EndDate",
                "Status",
            ],
        ),
        "subcategories": _staged(
            "DimProductSubcategory",
            ["ProductSubcategoryKey", "ProductCategoryKey", "EnglishProductSubcategoryName"],
        ),
        "categories": _staged(
            "DimProductCategory", ["ProductCategoryKey", "EnglishProductCategoryName"]
        ),
    },
)
def dim_product(
    products: pl.DataFrame, subcategories: pl.DataFrame, categories: pl.DataFrame
) -> pl.DataFrame:
    """Products with the names of their subcategory and category; parts that are not sold have neither."""
    return (
        products.join(subcategories, on="ProductSubcategoryKey", how="left")
        .join(categories, on="ProductCategoryKey", how="left")
        .select(
            product_key="ProductKey",
            product_code="ProductAlternateKey",
            product_name="EnglishProductName",
            subcategory_name="EnglishProductSubcategoryName",
            category_name="EnglishProductCategoryName",
            color="Color",
            standard_cost="StandardCost",
            list_price="ListPrice",
            valid_from="StartDate",
            valid_to="EndDate",
            is_current=pl.col("Status") == "Current",
        )
        .sort("product_key")
    )


@dg.asset_check(asset=DIM_PRODUCT, description="No product twice, and none lost in the joins.")
def one_row_per_product(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Compare the dimension's rows and distinct keys with the staged products."""
    with as_failures(), postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            select count(*), count(distinct product_key), (select count(*) from staging."DimProduct")
            from staging.dim_product
            """
        )
        rows, keys, products = cursor.fetchone() or (0, 0, 0)
    return dg.AssetCheckResult(
        passed=rows == keys == products,
        metadata={"rows": rows, "distinct_keys": keys, "products_staged": products},
    )


@dg.asset_check(asset=DIM_PRODUCT, description="A product with a subcategory has a category too.")
def every_subcategory_has_a_category(postgres: PostgresResource) -> dg.AssetCheckResult:
    """Count the products whose subcategory leads to no category."""
    with as_failures(), postgres.connect() as connection, connection.cursor() as cursor:
        cursor.execute(
            """
            select count(*) from staging.dim_product
            where subcategory_name is not null and category_name is null
            """
        )
        (orphans,) = cursor.fetchone() or (0,)
    return dg.AssetCheckResult(passed=orphans == 0, metadata={"products_without_category": orphans})
