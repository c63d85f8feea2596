"""DimProductCategory, DimProductSubcategory and DimSalesTerritory: the small dimensions, row by row."""

from collections.abc import Iterator

import pyarrow as pa

from standins.sample.arrays import batch_of_rows, picture
from standins.sample.tables import Column, SampleTable, sample_table

CATEGORIES = (
    ("Bikes", "Bicicletas", "Vélos"),
    ("Components", "Componentes", "Composants"),
    ("Clothing", "Ropa", "Vêtements"),
    ("Accessories", "Accesorios", "Accessoires"),
)

SUBCATEGORIES = (
    (1, "Mountain Bikes", "Bicicletas de montaña", "VTT"),
    (1, "Road Bikes", "Bicicletas de carretera", "Vélos de route"),
    (1, "Touring Bikes", "Bicicletas de paseo", "Vélos de randonnée"),
    (2, "Handlebars", "Manillares", "Guidons"),
    (2, "Bottom Brackets", "Ejes de pedalier", "Boîtiers de pédalier"),
    (2, "Brakes", "Frenos", "Freins"),
    (2, "Chains", "Cadenas", "Chaînes"),
    (2, "Cranksets", "Juegos de bielas", "Pédaliers"),
    (2, "Derailleurs", "Cambios de marcha", "Dérailleurs"),
    (2, "Forks", "Horquillas", "Fourches"),
    (2, "Headsets", "Juegos de dirección", "Jeux de direction"),
    (2, "Mountain Frames", "Cuadros de montaña", "Cadres de VTT"),
    (2, "Pedals", "Pedales", "Pédales"),
    (2, "Road Frames", "Cuadros de carretera", "Cadres de route"),
    (2, "Saddles", "Sillines", "Selles"),
    (2, "Touring Frames", "Cuadros de paseo", "Cadres de randonnée"),
    (2, "Wheels", "Ruedas", "Roues"),
    (3, "Bib-Shorts", "Culotes con tirantes", "Cuissards à bretelles"),
    (3, "Caps", "Gorras", "Casquettes"),
    (3, "Gloves", "Guantes", "Gants"),
    (3, "Jerseys", "Maillots", "Maillots"),
    (3, "Shorts", "Pantalones cortos", "Cuissards"),
    (3, "Socks", "Calcetines", "Chaussettes"),
    (3, "Tights", "Mallas", "Collants"),
    (3, "Vests", "Chalecos", "Gilets"),
    (4, "Bike Racks", "Portabicicletas", "Porte-vélos"),
    (4, "Bike Stands", "Soportes para bicicleta", "Pieds d'atelier"),
    (4, "Bottles and Cages", "Bidones y portabidones", "Bidons et porte-bidons"),
    (4, "Cleaners", "Limpiadores", "Nettoyants"),
    (4, "Fenders", "Guardabarros", "Garde-boue"),
    (4, "Helmets", "Cascos", "Casques"),
    (4, "Hydration Packs", "Mochilas de hidratación", "Sacs d'hydratation"),
    (4, "Lights", "Luces", "Éclairages"),
    (4, "Locks", "Candados", "Antivols"),
    (4, "Panniers", "Alforjas", "Sacoches"),
    (4, "Pumps", "Bombas", "Pompes"),
    (4, "Tires and Tubes", "Cubiertas y cámaras", "Pneus et chambres à air"),
)

TERRITORIES = (
    ("Northwest", "United States", "North America"),
    ("Northeast", "United States", "North America"),
    ("Central", "United States", "North America"),
    ("Southwest", "United States", "North America"),
    ("Southeast", "United States", "North America"),
    ("Canada", "Canada", "North America"),
    ("France", "France", "Europe"),
    ("Germany", "Germany", "Europe"),
    ("Australia", "Australia", "Pacific"),
    ("United Kingdom", "United Kingdom", "Europe"),
    ("NA", "NA", "NA"),
)

CATEGORY_COLUMNS = (
    Column("ProductCategoryKey", "int", nullable=False),
    Column("ProductCategoryAlternateKey", "int"),
    Column("EnglishProductCategoryName", "nvarchar(50)", nullable=False),
    Column("SpanishProductCategoryName", "nvarchar(50)", nullable=False),
    Column("FrenchProductCategoryName", "nvarchar(50)", nullable=False),
)

SUBCATEGORY_COLUMNS = (
    Column("ProductSubcategoryKey", "int", nullable=False),
    Column("ProductSubcategoryAlternateKey", "int"),
    Column("EnglishProductSubcategoryName", "nvarchar(50)", nullable=False),
    Column("SpanishProductSubcategoryName", "nvarchar(50)", nullable=False),
    Column("FrenchProductSubcategoryName", "nvarchar(50)", nullable=False),
    Column("ProductCategoryKey", "int"),
)

TERRITORY_COLUMNS = (
    Column("SalesTerritoryKey", "int", nullable=False),
    Column("SalesTerritoryAlternateKey", "int"),
    Column("SalesTerritoryRegion", "nvarchar(50)", nullable=False),
    Column("SalesTerritoryCountry", "nvarchar(50)", nullable=False),
    Column("SalesTerritoryGroup", "nvarchar(50)"),
    Column("SalesTerritoryImage", "varbinary(max)"),
)


def category_table() -> SampleTable:
    """Return DimProductCategory: 4 rows."""
    return sample_table(
        "DimProductCategory",
        CATEGORY_COLUMNS,
        ("ProductCategoryKey",),
        len(CATEGORIES),
        _category_batches,
    )


def subcategory_table() -> SampleTable:
    """Return DimProductSubcategory: 37 rows."""
    return sample_table(
        "DimProductSubcategory",
        SUBCATEGORY_COLUMNS,
        ("ProductSubcategoryKey",),
        len(SUBCATEGORIES),
        _subcategory_batches,
    )


def territory_table() -> SampleTable:
    """Return DimSalesTerritory: 10 regions and the row for "none"."""
    return sample_table(
        "DimSalesTerritory",
        TERRITORY_COLUMNS,
        ("SalesTerritoryKey",),
        len(TERRITORIES),
        _territory_batches,
    )


def _category_batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = [(key, key, *names) for key, names in enumerate(CATEGORIES, start=1)]
    yield batch_of_rows(schema, rows)


def _subcategory_batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    rows = [(key, key, *names, category) for key, (category, *names) in enumerate(SUBCATEGORIES, 1)]
    yield batch_of_rows(schema, rows)


def _territory_batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
    last = len(TERRITORIES)
    rows = [
        (key, key % last, *names, None if key == last else picture(20 * key, 90, 160))
        for key, names in enumerate(TERRITORIES, start=1)
    ]
    yield batch_of_rows(schema, rows)
