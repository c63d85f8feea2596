"""A generated sample warehouse in the shape of AdventureWorksDW.

Column names and types are those of Microsoft's public schema, so that an own AdventureWorksDW drops in; every row and
every text is made here. IDENTITY is left out: the keys are given.
"""

from standins.sample.catalog import DEFAULT_SEED, sample_tables
from standins.sample.tables import SampleTable

__all__ = ["DEFAULT_SEED", "SampleTable", "sample_tables"]
