"""Which steps of a run write which tables, and what an output without a name of its own is called.

Dagster calls an op's output `result` unless it is given a name, so the name alone tells no two ops apart.
"""

import re
from collections import defaultdict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from tranship.dagster_private.outputs import DEFAULT_OUTPUT, NodeHandle, context_of
from tranship.errors import TranshipError
from tranship.tables import TableName
from tranship.writes import WriteMode

Target = tuple[TableName, WriteMode]

_MAPPED = re.compile(r"\[[^\]]*\]")


def output_name(context: dg.OutputContext) -> str:
    """What an op's output is called: by its name, or where it has none of its own by its job and step.

    A step that was mapped is called as it stands in the job; its key comes apart from that.
    """
    if context.name != DEFAULT_OUTPUT:
        return context.name
    try:
        step = _MAPPED.sub("", context.step_key).replace(".", "__")
        return f"{context.job_name}__{step}"
    except dg.DagsterInvariantViolationError:
        return context.name  # a context that was built by hand belongs to no job


@dataclass(frozen=True, slots=True)
class Writers:
    """The steps of a run that replace tables.

    Args:
        run_id: The run.
        steps: The steps' keys, by the key of their IO manager and their table.
    """

    run_id: str
    steps: Mapping[tuple[str, TableName], frozenset[str]]

    @classmethod
    def of_run(cls, step: Any, target_of: Callable[[dg.OutputContext], Target]) -> "Writers":
        """Look through the steps of a run.

        Args:
            step: The context of one of them.
            target_of: Gives which table an output is, and how it is written.
        """
        steps: defaultdict[tuple[str, TableName], set[str]] = defaultdict(set)
        for other in step.execution_plan.step_dict_by_key.values():
            for output in other.step_outputs:
                if output.is_dynamic or "[" in other.key:
                    continue  # each of its keys has a table of its own
                try:
                    table, mode = target_of(context_of(step, other.key, output.name))
                except TranshipError:
                    continue  # its own step will say what is wrong with it
                if mode is WriteMode.REPLACE:
                    steps[_manager(step, other.node_handle, output.name), table].add(other.key)
        return cls(step.run_id, {written: frozenset(keys) for written, keys in steps.items()})

    def rivals(self, step: Any, output: str, table: TableName) -> list[str]:
        """The other steps that replace a table which an output of a step is written to."""
        manager = _manager(step, step.step.node_handle, output)
        return sorted(self.steps.get((manager, table), frozenset()) - {step.step.key})


def _manager(step: Any, node: NodeHandle, output: str) -> str:
    return step.job_def.get_node(node).output_def_named(output).io_manager_key
