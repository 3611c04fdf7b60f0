"""The rows of a result, whoever has written them, and in what two results differ."""

import hashlib
import json
from datetime import UTC, datetime, timedelta

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)
EXAMPLES = 3


def millis(time):
    """Milliseconds since 1970 of what is that, or RFC 3339, or null."""
    if isinstance(time, str):
        return (datetime.fromisoformat(time) - EPOCH) // MILLISECOND
    return time


def read(path):
    """The rows of a file, as a set of (entity, state, since, until, decided).

    A line is an episode of Limbeck, or an object of these five. Of the rows with one entity, state and
    since, which a stream may tell again, the last counts.
    """
    rows = {}
    with open(path, encoding="utf-8") as lines:
        for line in lines:
            row = json.loads(line)
            row = {"entity": row.get("subject"), **row, **row.get("data", {})}
            key = (row["entity"], row["state"], millis(row["since"]))
            rows[key] = (millis(row["until"]), millis(row["decided"]))
    return {key + rest for key, rest in rows.items()}


def sortable(row):
    entity, state, since, until, decided = row
    return (since, entity, state, until is None, until or 0, decided)


def digest(rows):
    """A hash that equal sets of rows have in common."""
    text = "\n".join(map(repr, sorted(rows, key=sortable)))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def difference(rows, wanted):
    """What is not as wanted, in numbers and with a few examples; None if all is."""
    missing, wrong = wanted - rows, rows - wanted
    if not missing and not wrong:
        return None
    examples = [
        {"is": name, "row": list(row)}
        for name, some in (("missing", missing), ("wrong", wrong))
        for row in sorted(some, key=sortable)[:EXAMPLES]
    ]
    return {"missing": len(missing), "wrong": len(wrong), "examples": examples}
