"""Numbers to text: percentiles, tables, targets."""
import math

PERCENTILES = (50, 95, 99)


def percentile(values, p):
    """Nearest rank: a value that was measured, the largest where there are too few for p."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(len(ordered) * p / 100) - 1)]


def summary(values):
    """p95 and p99 are None where there are too few for one to lie beyond it."""
    return {"n": len(values),
            **{f"p{p}": round(percentile(values, p), 3) if p <= 50 or len(values) * (100 - p) >= 100 else None
               for p in PERCENTILES},
            "min": round(min(values), 3), "max": round(max(values), 3)}


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


def percent(part, whole):
    return f"{100 * part / whole:.0f} %" if whole else ""


def latency(rows):
    out = []
    for language in dict.fromkeys(row["language"] for row in rows):
        out.append([language])
        out += [["  " + row["name"], number(row["to_bare"], 2), number(row["to_bwrap"], 2),
                 number(row["p99_to_bare"], 2), *(number(row[f"p{p}"], 2) for p in PERCENTILES),
                 number(row["min"], 2), number(row["cpu_ms"]), percent(row["warm"], row["warm"] + row["cold"]),
                 str(row["n"])]
                for row in rows if row["language"] == language]
    return table(["latency, ms", "x bare", "x bwrap", "p99 x", "p50", "p95", "p99", "min", "cpu", "warm", "n"], out)


def first(rows):
    out = []
    for row in rows:
        out.append([f"  {row['name']}, {row['language']}", str(row["first"]["n"]),
                    *(number(row[part][key], 2) for part in ("first", "rest") for key in ("p50", "p95"))])
        out += [[f"    {name}", str(has["n"]), number(has["p50"], 3), number(has["p95"], 3), "", ""]
                for name, has in row["stages"].items()]
    return table(["to the first instruction, ms", "n", "p50", "p95", "then to the answer", "p95"], out)


def bursts(rows):
    out = [[f"  {row['n']}: {row['name']}", number(row["to_bwrap"], 2), number(row["all_ms"], 0),
            number(row["p50_ms"], 0), number(row["done_per_second"], 0), str(row["done"]), str(row["errors"]),
            percent(row["warm"], row["done"])] for row in rows]
    return table(["burst, ms", "x bwrap", "all done = worst", "p50", "done/s", "done", "errors", "warm"], out)


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
    ready = found["cells"]
    text = table(["memory, KiB", "PSS idle", "RSS idle", f"PSS after {found['calls']}",
                  f"RSS after {found['calls']}"], rows)
    if not ready:
        return text + "\n  no python cell is kept ready"
    return text + (f"\n  {ready['cells']} ready python cells, KiB {ready['kind'].upper()}: {ready['cell_kib']:.0f} each, with "
                   f"its room {ready['cell_and_room_kib']:.0f}; once {ready['once_kib']}; all of it by cells "
                   f"{ready['all_by_cells_kib']:.0f}")


GROWTH = ("own_pss_kib", "own_rss_kib", "all_pss_kib", "all_rss_kib", "fds", "cgroups", "processes", "zombies")


def growth(found):
    samples = [found["samples"][i] for i in sorted({0, len(found["samples"]) // 2, len(found["samples"]) - 1})]
    rows = []
    for key in GROWTH:
        has = [sample.get(key) for sample in samples]
        if has[0] is not None:
            rows.append(["  " + key.replace("_", " "), *(number(v, 0) for v in has), number(has[-1] - has[0], 0)])
    return table(["growth, after calls", *(str(s["calls"]) for s in samples), "change"], rows)


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


def markdown(r):
    """The table of README.md."""
    about, kinds = r["about"], {}
    for row in r["latency"]:
        name = row["name"].replace("bare python3 -c", "bare").replace("bare node -e", "bare")
        if row["kind"] != "raw-cold" and row["language"] != "bash":
            kinds.setdefault(name, {})[row["language"]] = row
    lines = ["| one run | python, x bare | p50, ms | p99, ms | javascript, x bare | p50, ms | p99, ms |",
             "|---|--:|--:|--:|--:|--:|--:|"]
    for name, of in kinds.items():
        cells = []
        for language in ("python", "javascript"):
            row = of.get(language)
            cells += [number(row["to_bare"], 2), number(row["p50"]), number(row["p99"])] if row else ["", "", ""]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    return "\n".join(lines) + (f"\n\n{about['date'][:10]}, fumehood {about['version']}, {about['as']}; {about['cpus']} x "
                               f"{about['cpu']}, Linux {about['kernel']}; load {about['load'][0]} to "
                               f"{about['load'][1]}; {versions}.")


def everything(r, tables):
    about = r["about"]
    head = (f"fumehood {about['version']}, {about['as']}; {about['date']}\n{about['cpus']} x {about['cpu']}, Linux "
            f"{about['kernel']}; load {about['load'][0]} to {about['load'][1]}")
    if about["busy_percent"] is not None:
        head += f", {about['busy_percent']} % of rounds began beside other work"
    head += "\n" + ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    absent = [f"not here: {each['name']}: {each['why']}" for each in about["absent"]]
    parts = [head, *tables, targets(r["targets"])]
    notes = [*absent, *r["notes"], f"took {about['seconds']} s"]
    return "\n\n".join(parts) + "\n\n" + "\n".join(notes)
