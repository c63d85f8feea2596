"""How a class becomes one that dagster.yaml can name: `module`, `class` and `config`.

Private although dagster.yaml takes classes of others for every part of an instance: `dagster` does not export the base class, nor
what its constructor is given. No issue asks for it.
"""

from dagster._serdes import ConfigurableClass, ConfigurableClassData

__all__ = ["ConfigurableClass", "ConfigurableClassData"]
