"""The rule of the flap workload in DuckDB: one batch query over the whole log.

    run.py LOG OUT

A repeat equals its original in all that is read, so DISTINCT removes it. Without, the rows would be the
same, for it changes no state, in some fifth less of CPU time; but repeats are to be found. What remains of each entity
is sorted by time and sequence: changes of the state begin runs, runs that lasted the hold are
established, and those of another state than the one before begin an episode.
"""

import sys

import duckdb

HOLD_MS = 30_000

log, out = sys.argv[1:]
db = duckdb.connect()
# Of what no signal takes, the time still counts for the clock.
db.execute(
    """
    create temp table record as
    select distinct entity, ts, seq, kind, state
    from read_json($log, format = 'newline_delimited', ignore_errors = true, columns = {
        entity: 'varchar', ts: 'bigint', seq: 'bigint', kind: 'varchar', state: 'varchar'})
    where ts is not null
    """,
    {"log": log},
)
db.execute(
    f"""
    copy (
        with observation as (
            select entity, ts, seq, state from record
            where kind = 'readiness' and state in ('ready', 'unready') and entity is not null),
        change as (
            select * from observation
            qualify state is distinct from lag(state) over (partition by entity order by ts, seq)),
        run as (
            select entity, state, ts as since,
                lead(ts, 1, (select max(ts) from record))
                    over (partition by entity order by ts, seq) as next
            from change),
        established as (select * from run where next - since >= {HOLD_MS}),
        episode as (
            select * from established
            qualify state is distinct from lag(state) over (partition by entity order by since))
        select entity, state, since,
            lead(since) over (partition by entity order by since) as until,
            since + {HOLD_MS} as decided
        from episode order by since, entity, state
    ) to '{out.replace("'", "''")}' (format json)
    """
)
