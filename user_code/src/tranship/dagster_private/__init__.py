"""The only place that imports private modules of Dagster (`dagster._core` and the like), one module per who needs it.

Each says of each concern why Dagster's public names are not enough and which issue upstream would end that. What a new release of Dagster
moves is mended here, and a concern that becomes public is deleted here. `tests/unit/core/test_dagster_private.py` holds it.

Modules are as light as what they import: a run container waits for those that it uses.
"""
