"""Loads an export as CSV and as Arrow with pandas and with DuckDB, and compares what the four of them have read.

    python3 load_export.py FILE.csv FILE.arrow

Prints one line. Ends with 1 and says what differs if the row counts, or the exact sums of OBS_VALUE, are not the same.
"""

import sys
from decimal import Decimal, getcontext

import duckdb
import pandas as pd
import pyarrow as pa

# An observation of another kind has no number in OBS_VALUE: a flag, a code, a direction.
NUMBERS = ("COUNT", "DECIMAL", "PERCENT", "RATIO", "MONEY", "CHANGE")

# Of a sum of Decimal128(38, 10), no digit may be rounded away.
getcontext().prec = 60


def pandas_csv(path):
    # As text: pandas would make floats of decimal numbers, and nothing of a unit that is called NA.
    rows = pd.read_csv(path, dtype=str, keep_default_na=False, na_values=[""])
    numbers = rows[rows["VALUE_KIND"].isin(NUMBERS)] if "VALUE_KIND" in rows else rows
    values = [Decimal(text) for text in numbers["OBS_VALUE"].dropna()]
    return len(rows), len(values), sum(values, Decimal(0))


def duckdb_csv(path):
    # As text here too; a cast to a decimal number is exact.
    rows = "read_csv(?, header = true, all_varchar = true)"
    columns = [column for column, *_ in ask(f"DESCRIBE SELECT * FROM {rows}", [path])]
    where = f"WHERE VALUE_KIND IN {NUMBERS}" if "VALUE_KIND" in columns else ""
    numbers = "count(OBS_VALUE), coalesce(sum(CAST(OBS_VALUE AS DECIMAL(38, 10))), 0)"
    return *ask(f"SELECT count(*) FROM {rows}", [path])[0], *ask(f"SELECT {numbers} FROM {rows} {where}", [path])[0]


def pandas_arrow(table):
    rows = table.to_pandas()
    values = list(rows["obs_value_decimal"].dropna())
    return len(rows), len(values), sum(values, Decimal(0))


def duckdb_arrow(table):
    numbers = "count(*), count(obs_value_decimal), coalesce(sum(obs_value_decimal), 0)"
    return ask(f"SELECT {numbers} FROM export", export=table)[0]


def ask(question, parameters=(), **tables):
    with duckdb.connect() as connection:
        for name, table in tables.items():
            connection.register(name, table)
        return connection.execute(question, list(parameters)).fetchall()


def main(csv_path, arrow_path):
    with pa.ipc.open_stream(arrow_path) as reader:
        table = reader.read_all()
    read = {
        "pandas CSV": pandas_csv(csv_path),
        "DuckDB CSV": duckdb_csv(csv_path),
        "pandas Arrow": pandas_arrow(table),
        "DuckDB Arrow": duckdb_arrow(table),
    }
    (rows, numbers, total), *others = read.values()
    if any(other != (rows, numbers, total) for other in others):
        sys.exit(f"rows, numbers and their sum differ: {read}")
    revision = table.schema.metadata[b"revision"].decode()
    print(f"rows={rows} numbers={numbers} sum={total.normalize():f} revision={revision}: the same in {', '.join(read)}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(*sys.argv[1:])
