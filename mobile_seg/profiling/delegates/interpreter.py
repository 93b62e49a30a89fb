"""What this machine's runtime made of a graph for XNNPACK."""

from typing import Any


def delegated(interpreter: Any) -> tuple[int, frozenset[int]]:
    """Return how many DELEGATE nodes there are, and the operations that they replace, by index.

    The runtime keeps replaced operators in its list. Those inside a node are the ones that its outputs
    depend on, walking back until its inputs.
    """
    nodes = interpreter._get_ops_details()
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    made_by = {
        int(tensor): node["index"] for node in nodes if node["op_name"] != "DELEGATE" for tensor in node["outputs"]
    }
    inputs = {node["index"]: [int(tensor) for tensor in node["inputs"]] for node in nodes}
    replaced: set[int] = set()
    for node in delegates:
        known, pending = set(inputs[node["index"]]), [int(tensor) for tensor in node["outputs"]]
        while pending:
            tensor = pending.pop()
            if tensor not in known and tensor in made_by:
                replaced.add(made_by[tensor])
                pending.extend(inputs[made_by[tensor]])
            known.add(tensor)
    return len(delegates), frozenset(replaced)
