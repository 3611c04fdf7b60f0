"""The rule of the flap workload in Polars: one batch query over the whole log.

    run.py LOG OUT

A repeat equals its original in all that is read, so `unique` removes it. What remains is sorted once,
by entity, time and sequence: the rows of an entity stand together, and a shift of the whole column
finds the row before or after. Changes of the state begin runs, runs that lasted the hold are
established, and those of another state than the one before begin an episode.
"""

import sys

import polars as pl

HOLD_MS = 30_000
SCHEMA = {
    "entity": pl.String, "ts": pl.Int64, "seq": pl.Int64, "kind": pl.String, "state": pl.String,
}


def first_of_each_state(rows):
    """The rows whose state is not that of the row before, of the same entity."""
    entity, state = pl.col("entity"), pl.col("state")
    same = (entity == entity.shift(1)) & (state == state.shift(1))
    return rows.filter(~same.fill_null(False))


def of_next(column):
    """A column of the row after, null if that is of another entity."""
    following = pl.col("entity") == pl.col("entity").shift(-1)
    return pl.when(following).then(pl.col(column).shift(-1))


log, out = sys.argv[1:]
records = pl.scan_ndjson(log, schema=SCHEMA, ignore_errors=True)
records = records.filter(pl.col("ts").is_not_null()).collect(engine="streaming")
# Of what no signal takes, the time still counts for the clock.
clock = records["ts"].max()
is_observed = (
    (pl.col("kind") == "readiness")
    & pl.col("state").is_in(["ready", "unready"])
    & pl.col("entity").is_not_null()
)
observations = records.lazy().filter(is_observed).select("entity", "ts", "seq", "state")
observations = observations.unique().sort("entity", "ts", "seq").collect()
runs = first_of_each_state(observations.lazy()).select(
    "entity", "state", since="ts", next=of_next("ts").fill_null(clock)
)
established = runs.filter(pl.col("next") - pl.col("since") >= HOLD_MS)
episodes = first_of_each_state(established).select(
    "entity", "state", "since", until=of_next("since"), decided=pl.col("since") + HOLD_MS
)
episodes.sort("since", "entity", "state").collect().write_ndjson(out)
