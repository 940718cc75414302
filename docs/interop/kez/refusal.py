"""Refusals, named by the codes of §13."""

from __future__ import annotations


class Refusal(Exception):
    """What was wrong, in one of §13's words; `out` is what is known all the same."""

    def __init__(self, code: str, out: object = None) -> None:
        super().__init__(code)
        self.code = code
        self.out = out


def require(holds: object, code: str) -> None:
    """Refuses with `code` what does not hold."""
    if not holds:
        raise Refusal(code)
