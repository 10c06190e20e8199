"""The six questions of the national workload in three dialects, each answered with the same rows of text and integers."""

from workload import DENOMINATOR, NUMERATOR, Workload

DIALECTS = ("duckdb", "chdb", "postgres")


def statements(dialect: str, load: Workload) -> dict[str, str]:
    last = load.quarters - 1
    top = {
        "duckdb": "QUALIFY rank() OVER (ORDER BY total DESC) <= 10 ORDER BY total DESC, district",
        "chdb": "ORDER BY total DESC LIMIT 10 WITH TIES",
        "postgres": "ORDER BY total DESC FETCH FIRST 10 ROWS WITH TIES",
    }[dialect]
    # The last value of each unit.
    newest = {
        "duckdb": "SELECT province, arg_max(value, quarter) AS value FROM cells WHERE {} GROUP BY province, unit",
        "chdb": "SELECT province, argMax(value, quarter) AS value FROM cells WHERE {} GROUP BY province, unit",
        "postgres": "SELECT DISTINCT ON (province, unit) province, value FROM cells WHERE {} ORDER BY province, unit, quarter DESC",
    }[dialect].format(f"indicator = 0 AND quarter <= {last}")
    # A year is put together of its quarters, so only units count that reported both in all four.
    whole = f"""
        SELECT province,
               sum(CASE WHEN indicator = {NUMERATOR} THEN value ELSE 0 END) AS n,
               sum(CASE WHEN indicator = {DENOMINATOR} THEN value ELSE 0 END) AS d
        FROM cells WHERE indicator IN ({NUMERATOR}, {DENOMINATOR}) AND quarter BETWEEN {last - 3} AND {last}
        GROUP BY province, district, unit HAVING count(*) = 8"""
    return {
        "Q1": f"SELECT province, sum(value), count(*) FROM cells WHERE indicator = 0 AND quarter = {last} GROUP BY province ORDER BY province",
        "Q2": "SELECT quarter, sum(value), count(*) FROM cells WHERE indicator = 0 GROUP BY quarter ORDER BY quarter",
        "Q3": f"SELECT district, sum(value) AS total FROM cells WHERE indicator = 10 AND quarter = {last} GROUP BY district {top}",
        "Q4": f"SELECT province, sum(n), sum(d) FROM ({whole}) AS whole GROUP BY province ORDER BY province",
        "Q5": f"SELECT district, sum(value), count(*) FROM cells WHERE indicator = 0 AND quarter = {last} AND province = {load.province[0]} AND district = {load.asked} GROUP BY district",
        "Q6": f"SELECT province, sum(value), count(*) FROM ({newest}) AS newest GROUP BY province ORDER BY province",
    }


def rows(question: str, found, load: Workload) -> list[list]:
    """Rows as `cargo national` writes them: the name of the group, then integers."""
    name = {"Q2": load.period, "Q3": lambda n: load.districts[n], "Q5": lambda n: load.districts[n]}
    name = name.get(question, lambda n: load.provinces[n])
    told = [[name(int(row[0])), *(int(number) for number in row[1:])] for row in found]
    # Rows of equal totals stand in the order of their ids.
    return sorted(told, key=lambda row: (-row[1], row[0])) if question == "Q3" else told
