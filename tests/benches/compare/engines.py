"""Three engines, each with its best plain layout, filled and asked in the same way."""

import os
import pwd
import shutil
import subprocess
from pathlib import Path

import duckdb
import psycopg
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet
from chdb import session

from workload import Workload

COLUMNS = ["indicator", "quarter", "province", "district", "unit", "value"]


def tables(load: Workload):
    """The observations in the order of indicator, quarter and hierarchy."""
    for indicator in range(load.indicators):
        parts = []
        for quarter in range(load.quarters):
            unit, value = load.column(indicator, quarter)
            size = len(unit)
            constant = [pa.array([number] * size, pa.int16()) for number in (indicator, quarter)]
            places = [pa.array(place[unit], pa.int16()) for place in (load.province, load.district)]
            parts.append(pa.table([*constant, *places, pa.array(unit), pa.array(value)], names=COLUMNS))
        yield pa.concat_tables(parts)


def size_of(path: Path) -> int:
    return sum(file.stat().st_size for file in path.rglob("*") if file.is_file())


class DuckDb:
    name = "duckdb"

    def __init__(self, directory: Path, files: list[Path]):
        self.path = directory / "cells.duckdb"
        self.db = duckdb.connect(str(self.path))
        self.version = self.db.execute("SELECT version()").fetchone()[0]
        self.db.execute("CREATE TABLE cells (indicator SMALLINT, quarter SMALLINT, province SMALLINT, district SMALLINT, unit INTEGER, value INTEGER)")
        for file in files:
            self.db.execute(f"INSERT INTO cells SELECT * FROM read_parquet('{file}')")
        self.db.execute("CHECKPOINT")
        self.bytes = self.path.stat().st_size

    def ask(self, sql: str):
        return self.db.execute(sql).fetchall()

    def rows(self, answer):
        return answer

    def end(self):
        self.db.close()


class ChDb:
    name = "chdb"

    def __init__(self, directory: Path, files: list[Path]):
        self.path = directory / "chdb"
        self.session = session.Session(str(self.path))
        self.version = str(self.session.query("SELECT version()", "CSV")).strip().strip('"')
        self.session.query("CREATE DATABASE bench ENGINE = Atomic")
        self.session.query("USE bench")
        self.session.query("CREATE TABLE cells (indicator Int16, quarter Int16, province Int16, district Int16, unit Int32, value Int32) ENGINE = MergeTree ORDER BY (indicator, quarter, province, district, unit)")
        for file in files:
            self.session.query(f"INSERT INTO cells SELECT * FROM file('{file}', Parquet)")
        self.session.query("OPTIMIZE TABLE cells FINAL")
        found = self.session.query("SELECT sum(bytes_on_disk) FROM system.parts WHERE active AND table = 'cells'", "CSV")
        self.bytes = int(str(found))

    def ask(self, sql: str):
        return self.session.query(sql, "CSV")

    def rows(self, answer):
        return [line.split(",") for line in str(answer).split()]

    def end(self):
        self.session.close()


class Postgres:
    """A cluster of its own in a directory of its own, reached over a Unix socket. It is never run as root."""

    name = "postgres"

    def __init__(self, directory: Path, files: list[Path]):
        self.path = directory / "postgres"
        self.path.mkdir()
        self.user = None
        if os.getuid() == 0:
            self.user = "postgres" if "postgres" in {entry.pw_name for entry in pwd.getpwall()} else "nobody"
            directory.chmod(0o755)
            shutil.chown(self.path, self.user)
        self.bin = Path(self._bin())
        data = self.path / "data"
        self._run("initdb", "--pgdata", data, "--auth", "trust", "--username", "bench", "--encoding", "UTF8", "--no-sync")
        settings = "-c listen_addresses= -c shared_buffers=2GB -c work_mem=256MB -c maintenance_work_mem=1GB -c max_wal_size=8GB -c jit=off -c max_parallel_workers_per_gather=2 -c random_page_cost=1.1"
        self._run("pg_ctl", "--pgdata", data, "--wait", "--log", self.path / "log", "--options", f"-k {self.path} {settings}", "start")
        self.db = psycopg.connect(f"host={self.path} user=bench dbname=postgres", autocommit=True)
        self.version = self.db.execute("SHOW server_version").fetchone()[0]
        self.db.execute("CREATE TABLE cells (indicator smallint, quarter smallint, province smallint, district smallint, unit integer, value integer)")
        for file in files:
            with self.db.cursor().copy("COPY cells FROM STDIN (FORMAT csv)") as copy:
                sink = pa.BufferOutputStream()
                pyarrow.csv.write_csv(pyarrow.parquet.read_table(file), sink, pyarrow.csv.WriteOptions(include_header=False))
                copy.write(sink.getvalue().to_pybytes())
        self.db.execute("CREATE INDEX ON cells (indicator, quarter, province, district) INCLUDE (unit, value)")
        self.db.execute("CREATE INDEX ON cells (indicator, province, unit, quarter DESC) INCLUDE (value)")
        self.db.execute("VACUUM (ANALYZE) cells")
        self.bytes = self.db.execute("SELECT pg_total_relation_size('cells')").fetchone()[0]

    def _bin(self) -> str:
        config = shutil.which("pg_config")
        if config:
            return subprocess.check_output([config, "--bindir"], text=True).strip()
        # Debian keeps them out of the path.
        return str(max(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name)))

    def _run(self, program: str, *arguments):
        subprocess.run([self.bin / program, *map(str, arguments)], check=True, user=self.user, cwd=self.path, stdout=subprocess.DEVNULL)

    def ask(self, sql: str):
        return self.db.execute(sql, prepare=True).fetchall()

    def rows(self, answer):
        return answer

    def end(self):
        self.db.close()
        self._run("pg_ctl", "--pgdata", self.path / "data", "--mode", "fast", "--wait", "stop")


ENGINES = {engine.name: engine for engine in (DuckDb, ChDb, Postgres)}
