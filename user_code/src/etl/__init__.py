"""The code location: the pipelines that ship with the stack, and where users put theirs."""
