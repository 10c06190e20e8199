"""The national workload, cell for cell the same as tests/src/workload.rs.

A cell is (indicator, quarter, unit), each counted from 0; units are the communes of the register in the order of its
file, and beyond its last one again from the first, as copies in the same districts. With the constants of SplitMix64,
all arithmetic modulo 2^64:

    z = (indicator * 2^48 + quarter * 2^32 + unit) + seed * 0x9E3779B97F4A7C15
    z = (z ^ z >> 30) * 0xBF58476D1CE4E5B9
    z = (z ^ z >> 27) * 0x94D049BB133111EB
    z =  z ^ z >> 31

Where z is a multiple of 20 the unit is silent. Else h = z >> 32 says the value: the indicators 0 to 9 are flags, set
where h is a multiple of 3; all others are counts, h modulo 1000.

The last quarter is always 2024-Q4.
"""

import csv
from pathlib import Path

import numpy as np

REGISTER = Path(__file__).resolve().parents[2] / "fixtures/register/units_until_2025-06-30.tsv"
FLAGS = 10
NUMERATOR, DENOMINATOR = 30, 31
LAST_YEAR = 2024


class Workload:
    def __init__(self, units: int, indicators: int, quarters: int, seed: int):
        self.units, self.indicators, self.quarters, self.seed = units, indicators, quarters, seed
        with REGISTER.open(encoding="utf-8") as file:
            rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
        parent = {row["id"]: row["parent"] for row in rows}
        self.provinces = sorted(row["id"] for row in rows if row["level"] == "PROVINCE")
        self.districts = sorted(row["id"] for row in rows if row["level"] == "DISTRICT")
        number = {name: n for names in (self.provinces, self.districts) for n, name in enumerate(names)}
        districts = [row["parent"] for row in rows if row["level"] == "COMMUNE"]
        of = np.arange(units) % len(districts)
        self.district = np.array([number[d] for d in districts], np.int16)[of]
        self.province = np.array([number[parent[d]] for d in districts], np.int16)[of]
        # The order of a walk through the hierarchy: the best layout for every engine.
        self.order = np.lexsort((np.arange(units), self.district, self.province))
        # The district of question 5.
        self.asked = int(self.district[0])

    def column(self, indicator: int, quarter: int):
        """Units that said something, in the order of the hierarchy, and what they said."""
        unit = self.order.astype(np.uint64)
        cell = np.uint64((indicator << 48) + (quarter << 32)) + unit
        with np.errstate(over="ignore"):
            z = cell + np.uint64(self.seed * 0x9E3779B97F4A7C15 % 2**64)
            z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
            z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        z = z ^ z >> np.uint64(31)
        said = z % np.uint64(20) != 0
        h = (z >> np.uint64(32))[said]
        value = h % np.uint64(3) == 0 if indicator < FLAGS else h % np.uint64(1000)
        return self.order[said].astype(np.int32), value.astype(np.int32)

    def period(self, quarter: int) -> str:
        years, of_year = divmod(quarter - self.quarters, 4)
        return f"{LAST_YEAR + 1 + years}-Q{of_year + 1}"
