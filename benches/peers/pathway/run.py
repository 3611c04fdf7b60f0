"""The rule of the flap workload in Pathway, with all of the log as one batch.

    run.py LOG OUT

A repeat equals its original in all that is read. The observations of an entity become one sorted
tuple, over which a Python function goes once; with the log as a stream, it would go over all of it again
with every batch.
"""

import sys

import pathway as pw

HOLD_MS = 30_000


class Record(pw.Schema):
    ts: int
    entity: str
    kind: str
    state: str
    seq: int


@pw.udf(deterministic=True)
def episodes(
    observations: list[tuple[int, int, str]], clock: int
) -> list[tuple[str, int, int | None]]:
    """Runs that lasted the hold, those of one state after another as one."""
    rows = []
    run, since = None, 0
    for ts, _, state in (*observations, (clock, 0, None)):
        if state != run:
            if run is not None and ts - since >= HOLD_MS and (not rows or rows[-1][0] != run):
                rows.append((run, since))
            run, since = state, ts
    ends = [since for _, since in rows[1:]] + [None]
    return [(state, since, until) for (state, since), until in zip(rows, ends)]


log, out = sys.argv[1:]
records = pw.io.jsonlines.read(log, schema=Record, mode="static")
clock = records.reduce(last=pw.reducers.max(pw.this.ts))
pods = (
    records.filter(
        (pw.this.kind == "readiness") & ((pw.this.state == "ready") | (pw.this.state == "unready"))
    )
    .groupby(pw.this.entity)
    .reduce(
        pw.this.entity,
        observations=pw.reducers.sorted_tuple(
            pw.make_tuple(pw.this.ts, pw.this.seq, pw.this.state)
        ),
    )
)
rows = pods.select(
    pw.this.entity, row=episodes(pw.this.observations, clock.ix_ref().last)
).flatten(pw.this.row)
rows = rows.select(
    pw.this.entity,
    state=pw.this.row[0],
    since=pw.this.row[1],
    until=pw.this.row[2],
    decided=pw.this.row[1] + HOLD_MS,
)
pw.io.jsonlines.write(rows, out)
pw.run(monitoring_level=pw.MonitoringLevel.NONE)
