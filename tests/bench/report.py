"""Numbers to text: percentiles, tables, targets."""
import math

PERCENTILES = (50, 95, 99)


def percentile(values, p):
    """Nearest rank: a value that was measured, the largest where there are too few for p."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]


def summary(values):
    return {"n": len(values), **{f"p{p}": round(percentile(values, p), 3) for p in PERCENTILES},
            "min": round(min(values), 3)}


def number(value, places=1):
    return "-" if value is None else f"{value:.{places}f}"


def table(head, rows):
    """The first column to the left, the others to the right; a row of one cell is a heading."""
    full = [row for row in [head, *rows] if len(row) > 1]
    widths = [max(len(row[i]) for row in full) for i in range(len(head))]
    lines = []
    for row in [head, *rows]:
        cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:])]
        lines.append("  ".join(cells).rstrip())
    return "\n".join(lines)


def latency(rows):
    out = []
    for language in dict.fromkeys(row["language"] for row in rows):
        out.append([language])
        out += [["  " + row["name"], str(row["n"]), *(number(row[f"p{p}"]) for p in PERCENTILES),
                 number(row["min"]), number(row["to_bare"], 2), number(row["to_bwrap"], 2),
                 number(row["cpu_ms"])]
                for row in rows if row["language"] == language]
    return table(["latency, ms", "n", "p50", "p95", "p99", "min", "x bare", "x bwrap", "cpu"], out)


def rates(rows):
    columns = sorted({n for row in rows for n in row["per_second"]})
    return table(["calls per second, python", *map(str, columns)],
                 [["  " + row["name"], *(number(row["per_second"].get(n), 0) for n in columns)]
                  for row in rows])


def starts(rows):
    return table(["from start, ms", "n", "p50", "p95", "p99", "min"],
                 [["  " + row["name"], str(row["n"]),
                   *(number(row[f"p{p}"]) for p in PERCENTILES), number(row["min"])]
                  for row in rows])


def memory(found):
    def cells(sample):
        return [number(sample.get("pss"), 0), number(sample.get("rss"), 0)]

    rows = [["  " + name, *cells(found["idle"][name]), *cells(found["used"][name])]
            for name in found["idle"]]
    rows += [["  " + name, "", "", *cells(sample)] for name, sample in found["run"].items()]
    return table(["memory, KiB", "PSS idle", "RSS idle", f"PSS after {found['calls']}",
                  f"RSS after {found['calls']}"], rows)


def target(name, value, limit, unit, least=False):
    """value None: not measured here; least: the limit is the least it must be"""
    met = None if value is None else value >= limit if least else value <= limit
    return {"name": name, "value": None if value is None else round(value, 3), "limit": limit,
            "least": least, "unit": unit, "met": met}


def targets(found):
    said = {True: "met", False: "NOT met", None: "not measured"}
    return table(["target", "", "", ""],
                 [["  " + t["name"], number(t["value"], 2),
                   f"{'>=' if t['least'] else '<='} {t['limit']} {t['unit']}", said[t["met"]]]
                  for t in found])


def everything(r, more):
    """more: tables of another part"""
    about = r["about"]
    head = (f"fumehood {about['version']}, {about['as']}; {about['cpus']} cores, Linux "
            f"{about['kernel']}, bubblewrap {about['bwrap']}; load {about['load'][0]} to "
            f"{about['load'][1]}")
    parts = [head]
    if "latency" in r:
        head += f", {about['busy_percent']} % of rounds began beside other work"
        parts = [head, latency(r["latency"]), rates(r["rates"]), starts(r["start"]),
                 memory(r["memory"])]
    parts += [*more, targets(r["targets"])]
    notes = [*r["notes"], f"took {about['seconds']} s"]
    return "\n\n".join(parts) + "\n\n" + "\n".join(notes)
