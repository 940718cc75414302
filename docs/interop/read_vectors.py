"""Checks every test vector of a folder: `python read_vectors.py kez-core/tests/vectors`."""

from __future__ import annotations

import inspect
import json
import sys
from pathlib import Path
from typing import Any

from kez.refusal import Refusal
from operations import OPERATIONS
from operations.broker import COMPARISONS

OK = "ok"


def main() -> int:
    """Reads all cases and says what came of them; returns the exit code."""
    if len(sys.argv) != 2:
        print("usage: read_vectors.py FOLDER", file=sys.stderr)
        return 2
    counts = {"ok": 0, "refused": 0, "wrong": 0}
    for path in sorted(Path(sys.argv[1]).glob("*.json")):
        for name, verdict, faults in read_file(path):
            counts[verdict] += 1
            for fault in faults:
                print(f"{path.name}: {name}: {fault}")
    if counts["wrong"] or not (counts["ok"] or counts["refused"]):
        print(f"interop: FAILED, {counts['wrong']} wrong, {counts['ok']} ok, {counts['refused']} refused as named")
        return 1
    print(f"interop: {counts['ok']} ok, {counts['refused']} refused as named")
    return 0


def read_file(path: Path) -> list[tuple[str, str, list[str]]]:
    """Returns name, verdict and faults of each case of a file; a file that is not in order is a wrong case itself."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=unique)
        if set(content) != {"about", "cases"} or not content["cases"]:
            raise ValueError("a file has the members about and cases, and some cases")
        names = [case["name"] for case in content["cases"]]
        if len(set(names)) != len(names):
            raise ValueError("a name occurs twice")
    except (ValueError, TypeError, KeyError) as error:
        return [("the file", "wrong", [f"is not in order: {error!r}"])]
    return [(case["name"], *read_case(case)) for case in content["cases"]]


def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Makes an object of its members, none of which may occur twice."""
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a member occurs twice")
    return value


def read_case(case: dict[str, Any]) -> tuple[str, list[str]]:
    """Returns a case's verdict, and what was expected and what came if it is wrong."""
    if not {"name", "op", "in", "expect"} <= set(case) <= {"name", "op", "in", "expect", "out"}:
        return "wrong", [f"has the members {sorted(case)}"]
    if (case["expect"] == OK and "out" not in case) or not isinstance(case.get("out", {}), dict):
        return "wrong", ["has no out, or one that is no object"]
    try:
        result, out = perform(case["op"], case["in"])
        expected_out: Any = case.get("out")
        comparison = COMPARISONS.get(case["op"])
        if comparison is not None and result == case["expect"] == OK:
            same = comparison(case["in"], expected_out, out)
        else:
            same = result == case["expect"] and text(out) == text(expected_out)
    except Exception as error:  # Whatever goes wrong in a case, the others are read too.
        return "wrong", [f"{case['op']} could not be done: {error!r}"]
    if same:
        return ("ok" if result == OK else "refused"), []
    return "wrong", [f"expected {case['expect']} {text(expected_out)}", f"got      {result} {text(out)}"]


def perform(op: str, given: dict[str, Any]) -> tuple[str, Any]:
    """Does what a case asks; returns `ok` or the code, and the outputs if there are any."""
    operation = OPERATIONS[op]
    names = {name.rstrip("_"): name for name in inspect.signature(operation).parameters}
    arguments = {names[name]: value for name, value in given.items()}
    try:
        return OK, operation(**arguments)
    except Refusal as refusal:
        return refusal.code, refusal.out


def text(value: Any) -> str:
    """Writes a value so that equal texts are equal values: `1`, `true` and `1.0` differ."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False)


if __name__ == "__main__":
    sys.exit(main())
