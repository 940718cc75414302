"""The operations of kez-core/tests/vectors/README.md.

Each is a function whose parameters are the members of a case's `in`, which returns the case's `out`; a parameter with
a default may be absent. A trailing underscore keeps a name apart from Python's own and is no part of it.
"""

from __future__ import annotations

from typing import Any, Callable

from . import broker, envelope, files, identity, manifest, sigchain

OPERATIONS: dict[str, Callable[..., Any]] = {}
for module in (identity, sigchain, envelope, files, manifest, broker):
    OPERATIONS.update(module.OPERATIONS)
