"""DimCustomer: invented people, with where they live and the day of their first purchase.

The fact table asks here which territory a customer belongs to and which customers exist by a given order, so that
both tables agree without either being held in memory.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from standins.sample.arrays import (
    chosen,
    dates,
    joined,
    money,
    numbers,
    random_generator,
    zero_padded,
)
from standins.sample.calendar_of_sales import day_of_progress
from standins.sample.tables import Column, SampleTable, sample_table

CUSTOMERS_AT_SCALE_ONE = 18_484
FIRST_KEY = 11_000
ROWS_PER_BATCH = 65_536
RANDOM_STREAM = 1

FEMALE_NAMES = (
    "Ada", "Amélie", "Beatriz", "Carla", "Chloé", "Dana", "Elif", "Emma", "Fatima", "Greta", "Hana", "Inês",
    "Jana", "Karin", "Lena", "Maya", "Nora", "Olga", "Paula", "Renée", "Sofía", "Tara", "Yuki", "Zoë",
)  # fmt: skip
MALE_NAMES = (
    "Adam", "André", "Bruno", "Carlos", "David", "Emil", "François", "Georg", "Hugo", "Iván", "Jonas", "Karl",
    "Liam", "Mateo", "Nils", "Omar", "Pavel", "Quentin", "Rafael", "Søren", "Tomás", "Viktor", "Wei", "Yusuf",
)  # fmt: skip
LAST_NAMES = (
    "Albrecht", "Baker", "Castillo", "Dubois", "Eriksson", "Fischer", "Garnier", "Hughes", "Ito", "Jansen",
    "Kowalski", "Lindqvist", "Moreau", "Núñez", "O'Brien", "Peters", "Quispe", "Rossi", "Schäfer", "Tanaka",
    "Ueda", "Vargas", "Whitfield", "Xu", "Öztürk", "Zimmermann", "Çelik", "Ødegaard", "Müller", "Petrov",
)  # fmt: skip
STREETS = (
    "Alder Court", "Birch Lane", "Cedar Road", "Dune Street", "Elm Avenue", "Fjord Way", "Garden Place",
    "Harbor Drive", "Iris Close", "Juniper Circle", "King's Row", "Lake View", "Mill Street", "North Gate",
)  # fmt: skip

EDUCATION = (
    ("Partial High School", "Bachillerato incompleto", "Lycée non terminé"),
    ("High School", "Bachillerato", "Baccalauréat"),
    ("Partial College", "Universidad incompleta", "Études supérieures non terminées"),
    ("Bachelors", "Licenciatura", "Licence"),
    ("Graduate Degree", "Posgrado", "Master"),
)
OCCUPATION = (
    ("Manual", "Obrero", "Ouvrier"),
    ("Skilled Manual", "Obrero especializado", "Technicien"),
    ("Clerical", "Administrativo", "Employé"),
    ("Professional", "Profesional", "Cadre"),
    ("Management", "Dirección", "Direction"),
)
COMMUTES = ("0-1 Miles", "1-2 Miles", "2-5 Miles", "5-10 Miles", "10+ Miles")

TERRITORY_SHARES = (0.19, 0.02, 0.01, 0.24, 0.02, 0.09, 0.10, 0.10, 0.13, 0.10)
GEOGRAPHY_KEYS = 655

COLUMNS = (
    Column("CustomerKey", "int", nullable=False),
    Column("GeographyKey", "int"),
    Column("CustomerAlternateKey", "nvarchar(15)", nullable=False),
    Column("Title", "nvarchar(8)"),
    Column("FirstName", "nvarchar(50)"),
    Column("MiddleName", "nvarchar(50)"),
    Column("LastName", "nvarchar(50)"),
    Column("NameStyle", "bit"),
    Column("BirthDate", "date"),
    Column("MaritalStatus", "nchar(1)"),
    Column("Suffix", "nvarchar(10)"),
    Column("Gender", "nvarchar(1)"),
    Column("EmailAddress", "nvarchar(50)"),
    Column("YearlyIncome", "money"),
    Column("TotalChildren", "tinyint"),
    Column("NumberChildrenAtHome", "tinyint"),
    Column("EnglishEducation", "nvarchar(40)"),
    Column("SpanishEducation", "nvarchar(40)"),
    Column("FrenchEducation", "nvarchar(40)"),
    Column("EnglishOccupation", "nvarchar(100)"),
    Column("SpanishOccupation", "nvarchar(100)"),
    Column("FrenchOccupation", "nvarchar(100)"),
    Column("HouseOwnerFlag", "nchar(1)"),
    Column("NumberCarsOwned", "tinyint"),
    Column("AddressLine1", "nvarchar(120)"),
    Column("AddressLine2", "nvarchar(120)"),
    Column("Phone", "nvarchar(20)"),
    Column("DateFirstPurchase", "date"),
    Column("CommuteDistance", "nvarchar(15)"),
)


def customer_count(scale: float) -> int:
    """Return how many customers there are at a scale; at least one."""
    return max(1, round(CUSTOMERS_AT_SCALE_ONE * scale))


def customer_table(scale: float, seed: int) -> SampleTable:
    """Return DimCustomer: 18,484 rows at scale 1."""
    count = customer_count(scale)

    def batches(schema: pa.Schema) -> Iterator[pa.RecordBatch]:
        for block, first in enumerate(range(0, count, ROWS_PER_BATCH)):
            ranks = np.arange(first, min(first + ROWS_PER_BATCH, count), dtype=np.int64)
            yield _batch(schema, ranks, count, random_generator(seed, RANDOM_STREAM, block))

    return sample_table("DimCustomer", COLUMNS, ("CustomerKey",), count, batches)


def territory_keys(ranks: np.ndarray) -> np.ndarray:
    """Return the sales territory of customers, given by their rank from 0, from the rank alone."""
    bounds = np.cumsum(TERRITORY_SHARES)
    return (np.searchsorted(bounds[:-1], _spread(ranks), side="right") + 1).astype(np.int32)


def _spread(ranks: np.ndarray) -> np.ndarray:
    """Map ranks to numbers of [0, 1) that look unordered (multiplicative hashing)."""
    return (ranks.astype(np.uint64) * np.uint64(2_654_435_761) % np.uint64(1 << 32)) / float(
        1 << 32
    )


def _batch(
    schema: pa.Schema, ranks: np.ndarray, count: int, generator: np.random.Generator
) -> pa.RecordBatch:
    rows = len(ranks)

    def pick(choices: int) -> np.ndarray:
        return (generator.random(rows) * choices).astype(np.int64)

    def share(probability: float) -> np.ndarray:
        return (generator.random(rows) < probability).astype(np.int64)

    keys = ranks + FIRST_KEY
    gender, married, owner = share(0.5), share(0.54), share(0.68)
    names = pick(len(FEMALE_NAMES)) + gender * len(FEMALE_NAMES)
    first_names = chosen((*FEMALE_NAMES, *MALE_NAMES), names)
    children = pick(6)
    education, occupation = pick(len(EDUCATION)), pick(len(OCCUPATION))
    columns = [
        numbers(keys.astype(np.int32)),
        numbers((_spread(ranks) * GEOGRAPHY_KEYS).astype(np.int32) + np.int32(1)),
        joined("AW", zero_padded(keys, 8)),
        chosen((None, "Mr.", "Ms."), share(0.02) * (gender == 0) * 2 + share(0.01) * gender),
        first_names,
        chosen((None, *"ABCDEFGHIJKLMNOPQRSTUVWXYZ"), pick(27) * share(0.6)),
        chosen(LAST_NAMES, pick(len(LAST_NAMES))),
        numbers(np.zeros(rows, dtype=bool)),
        dates(-20_000 + pick(25_000)),
        chosen(("S", "M"), married),
        chosen((None, "Jr.", "Sr."), share(0.01) * (1 + pick(2)) * gender),
        chosen(("F", "M"), gender),
        joined("customer", numbers(keys), "@example.com"),
        money((1 + pick(17)) * 10_000 * 10_000),
        numbers(children.astype(np.uint8)),
        numbers((generator.random(rows) * (children + 1)).astype(np.uint8)),
        *(chosen(names, education) for names in zip(*EDUCATION, strict=True)),
        *(chosen(names, occupation) for names in zip(*OCCUPATION, strict=True)),
        chosen(("0", "1"), owner),
        numbers(pick(5).astype(np.uint8)),
        joined(numbers(1 + pick(9_999)), " ", chosen(STREETS, pick(len(STREETS)))),
        chosen((None, "# 2", "Apartment 4", "Bloc B", "2. OG"), share(0.1) * (1 + pick(4))),
        joined(numbers(200 + pick(700)), "-555-01", zero_padded(pick(100), 2)),
        dates(day_of_progress(ranks / count)),
        chosen(COMMUTES, pick(len(COMMUTES))),
    ]
    return pa.record_batch(columns, schema=schema)
