#!/usr/bin/env python3
"""The questions of the national workload in DuckDB, chDB and PostgreSQL. Writes target/compare.json.

Install: python3 -m venv target/compare && target/compare/bin/pip install -r tests/benches/compare/requirements.txt
         and PostgreSQL: apt-get install postgresql-15, or another version
Run:     target/compare/bin/python3 tests/benches/compare/compare.py
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from pathlib import Path

import pyarrow.parquet

from engines import ENGINES, tables
from questions import rows, statements
from workload import Workload

TARGET = Path(__file__).resolve().parents[3] / "target"


def main() -> int:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--units", type=int, default=10_035)
    arguments.add_argument("--indicators", type=int, default=40, help="at least 32: the ratio is of 30 and 31")
    arguments.add_argument("--quarters", type=int, default=40, help="at least 4: the ratio is of a year")
    arguments.add_argument("--seed", type=int, default=1)
    arguments.add_argument("--runs", type=int, default=21, help="of which the median counts")
    arguments.add_argument("--engines", nargs="+", choices=ENGINES, default=list(ENGINES))
    arguments.add_argument("--out", type=Path, default=TARGET / "compare.json")
    asked = arguments.parse_args()
    load = Workload(asked.units, asked.indicators, asked.quarters, asked.seed)
    workload = {name: getattr(asked, name) for name in ("units", "indicators", "quarters", "seed")}
    result = {"workload": workload, "observations": 0, "engines": {}, "answers": {}}
    with tempfile.TemporaryDirectory(prefix="compare-") as directory:
        directory = Path(directory)
        directory.chmod(0o755)
        files = []
        for number, table in enumerate(tables(load)):
            files.append(directory / f"{number:03}.parquet")
            pyarrow.parquet.write_table(table, files[-1])
            result["observations"] += table.num_rows
        print(f"{result['observations']:,} observations of {asked.units:,} units × {asked.indicators} indicators × {asked.quarters} quarters", flush=True)
        for name in asked.engines:
            result["engines"][name] = measure(ENGINES[name], directory, files, load, asked.runs, result["answers"])
    asked.out.parent.mkdir(parents=True, exist_ok=True)
    asked.out.write_text(json.dumps(result, indent=1) + "\n")
    print(f"written to {asked.out}")
    return 0


def measure(kind, directory: Path, files, load: Workload, runs: int, answers: dict) -> dict:
    started = time.perf_counter()
    engine = kind(directory, files)
    try:
        found = {"version": engine.version, "bytes": engine.bytes, "load_s": round(time.perf_counter() - started, 1), "ns": {}}
        print(f"\n{engine.name} {engine.version}: loaded in {found['load_s']} s, {engine.bytes / 1e6:.0f} MB", flush=True)
        for question, sql in statements(engine.name, load).items():
            told = rows(question, engine.rows(engine.ask(sql)), load)
            if told != answers.setdefault(question, told):
                sys.exit(f"{engine.name} answers {question} otherwise than the engine before it: {told[:3]} …, {answers[question][:3]} …")
            times = []
            for _ in range(runs):
                before = time.perf_counter_ns()
                engine.ask(sql)
                times.append(time.perf_counter_ns() - before)
            found["ns"][question] = int(statistics.median(times))
            print(f"  {question} {found['ns'][question] / 1e6:8.2f} ms, {len(told)} rows", flush=True)
        return found
    finally:
        engine.end()


if __name__ == "__main__":
    sys.exit(main())
