"""The outputs of the other steps of a run, as their IO manager would be given them.

Private because an IO manager is shown its own output only. Dagster's maintainers name this way for whoever needs another one, and
do not want to make it public (https://github.com/dagster-io/dagster/issues/16348).
"""

# Dagster leaves types out of what is used here; what is ours is checked in full.
# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false, reportUnknownLambdaType=false

from typing import Any

import dagster as dg
from dagster._core.definitions.dependency import NodeHandle
from dagster._core.definitions.utils import DEFAULT_OUTPUT
from dagster._core.execution.context.output import get_output_context
from dagster._core.execution.plan.outputs import StepOutputHandle

__all__ = ["DEFAULT_OUTPUT", "NodeHandle", "context_of"]


def context_of(step: Any, other_step_key: str, output: str) -> dg.OutputContext:
    """The context of an output of another step.

    Args:
        step: The context of the step that asks.
        other_step_key: The key of the other one in the same run.
        output: The output's name.
    """
    return get_output_context(
        step.execution_plan, step.job_def, step.resolved_run_config,
        StepOutputHandle(other_step_key, output), step.run_id, None, None, None, None,
    )  # fmt: skip
