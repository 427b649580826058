"""What the programs of `test_schemathesis.py` do to a request before it is sent. Schemathesis loads this file by itself."""

import schemathesis
from schemathesis.generation import GenerationMode


@schemathesis.hook
def before_call(context, case, kwargs):
    """Makes of a request that is meant to be right one that a client could send."""
    meta = case.meta
    right = meta is None or meta.generation.mode == GenerationMode.POSITIVE
    if right:
        # JSON Schema takes 1.0 for a whole number; clients write 1.
        case.body = whole(case.body)
        # Only a list itself can say where it ended: a cursor that was made up is refused, as it should be.
        if case.query and not case.path.startswith("/tenure/"):
            case.query.pop("after", None)
    # A worker waits for half a minute when it is told to.
    if case.path.endswith("/work/claim") and isinstance(case.body, dict) and isinstance(case.body.get("wait_seconds"), int):
        case.body["wait_seconds"] = min(case.body["wait_seconds"], 0)


def whole(value):
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**63:
        return int(value)
    if isinstance(value, dict):
        return {name: whole(item) for name, item in value.items()}
    if isinstance(value, list):
        return [whole(item) for item in value]
    return value
