"""Reads the historian of a data folder with DuckDB and compares it with what Andon says of the same samples.

    python compare.py DATA_FOLDER < expected.json

The expected numbers are a JSON object: signal to its count, sums and newest times. Every difference is printed; with
one, the exit code is 1.
"""

import json
import math
import sys

import duckdb

SAMPLES = "read_parquet('{data}/historian/**/*.parquet', hive_partitioning=true)"
MINUTES = "read_parquet('{data}/minutes/**/*.parquet', hive_partitioning=true)"

BY_SIGNAL = """
    select signal,
           count(*) as count,
           coalesce(sum(v_f64), 0) as f64,
           coalesce(sum(v_i64), 0)::bigint as i64,
           count(*) filter (where v_bool) as yes,
           coalesce(sum(length(v_text)), 0)::bigint as text,
           coalesce(sum(octet_length(v_bytes)), 0)::bigint as bytes,
           sum(quality)::bigint as quality,
           max(epoch_ns(time)) as time,
           max(epoch_ms(received)) as received,
           max("offset") as "offset"
    from {samples}
    group by signal
"""


def differences(data, expected):
    """What DuckDB and Andon say differently."""
    samples, minutes = SAMPLES.format(data=data), MINUTES.format(data=data)
    ask = duckdb.sql
    count = ask(f"select count(*) from {samples}").fetchall()[0][0]
    wanted = sum(of["count"] for of in expected.values())
    if count != wanted:
        yield f"DuckDB counts {count} samples, Andon {wanted}"
    rows = ask(BY_SIGNAL.format(samples=samples))
    names = rows.columns
    found = {row[0]: dict(zip(names[1:], row[1:])) for row in rows.fetchall()}
    for signal in sorted(found.keys() | expected.keys()):
        theirs, ours = found.get(signal, {}), expected.get(signal, {})
        for name in sorted(theirs.keys() | ours.keys()):
            one, other = theirs.get(name), ours.get(name)
            if one is None or other is None or not math.isclose(one, other, rel_tol=1e-12, abs_tol=1e-9):
                yield f"{signal}: {name} is {one} for DuckDB, {other} for Andon"
    wrong = ask(f"select count(*) from {samples} where date <> cast(time as date)").fetchall()[0][0]
    if wrong:
        yield f"{wrong} samples lie under another date than that of their time"
    # A chart counts numbers that are not bad.
    numbers = f"""
        select count(*) from {samples}
        where quality < 2147483648 and (v_f64 is not null or v_i64 is not null or v_bool is not null)
    """
    one, other = ask(numbers).fetchall()[0][0], ask(f"select sum(count) from {minutes}").fetchall()[0][0]
    if one != other:
        yield f"{one} samples are numbers and not bad, the minutes count {other}"


def main():
    """Compares, prints, exits."""
    found = list(differences(sys.argv[1], json.load(sys.stdin)))
    for difference in found:
        print(difference)
    print(f"duckdb {duckdb.__version__}: {len(found)} differences")
    sys.exit(1 if found else 0)


main()
