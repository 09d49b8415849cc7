"""JSON that any reader takes: the format has no infinities and no NaN."""

import json
import math
from collections.abc import Mapping
from typing import Any


def dumps(value: Any) -> str:
    """Nested mappings, lists and numbers, indented; not finite ones are "inf", "-inf", "nan"."""
    return json.dumps(_finite(value), indent=2, allow_nan=False) + "\n"


def _finite(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_finite(item) for item in value]
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value
