"""targets.py: what the numbers should be; said, never enforced."""
import report
from growth import COUNTS

MAX_TO_BARE, MAX_P99_TO_BARE, MIN_RATE, MAX_OWN_MS = 0.2, 0.6, 5, 0.4
MAX_COLD, MAX_ROLE_MIB, MAX_READY_MS, MAX_CELL_MIB = 1.6, 4, 50, 2
MAX_GROWTH_KIB = 256    # of all of a server's processes: the noise of an allocator's pages


def row(rows, **want):
    return next((r for r in rows if all(r[k] == v for k, v in want.items())), None)


def value(found, key):
    return found and found[key]


def latency(r, client):
    for language in ("python", "javascript"):
        for kind, who in ((client, ""), (f"{client}-user", ", as a user")):
            has = row(r["latency"], language=language, kind=kind)
            name = f"run_code, {language}{who}: {{}} / p50 of bare ({client})"
            yield report.target(name.format("p50"), value(has, "to_bare"), MAX_TO_BARE, "x")
            if language == "python":
                yield report.target(name.format("p99"), value(has, "p99_to_bare"), MAX_P99_TO_BARE, "x")
    cold = row(r["latency"], language="python", kind="raw-cold")
    yield report.target("run_code, python, kept cold: p50 / plain bwrap's", value(cold, "to_bwrap"), MAX_COLD, "x")


def throughput(r):
    rows = [x for x in r["rates"] if "one server" in x["name"]]
    least = min(rows[0]["to_bwrap"].values()) if rows else None
    yield report.target("one server, python: calls per second / plain bwrap's, the least of all N", least,
                        MIN_RATE, "x", least=True)
    for has in r["bursts"]:
        if has["name"] != "plain bwrap":
            yield report.target(f"burst of {has['n']}, {has['name']}: errors", has["errors"], 0, "")


def memory(r):
    found = r["growth"]
    roles = {**found["used"], "guest": found["run"]["guest, one per run"]}
    for name, has in roles.items():
        kind = "pss" if "pss" in has else "rss"
        mib = has[kind] / 1024
        # an upper bound above the limit says nothing
        known = kind == "pss" or mib <= MAX_ROLE_MIB
        yield report.target(f"{name}: {kind.upper()}", mib if known else None, MAX_ROLE_MIB, "MiB")
    cells = found["cells"]
    # RSS counts what they share once for each: as an upper bound it says nothing
    known = cells and cells["kind"] == "pss"
    yield report.target("ready python cell and its room: PSS", known and cells["cell_and_room_kib"] / 1024 or None,
                        MAX_CELL_MIB, "MiB")
    first, last = found["samples"][len(found["samples"]) // 2], found["samples"][-1]
    over = f"growth, the last {last['calls'] - first['calls']} of {found['calls']} calls"
    kind = "all_pss_kib" if "all_pss_kib" in first else "all_rss_kib"
    yield report.target(f"{over}: memory", last[kind] - first[kind], MAX_GROWTH_KIB, "KiB")
    for what in COUNTS:
        if first[what] is not None:
            yield report.target(f"{over}: {what}", last[what] - first[what], 0, "")


def judge(r):
    client = "sdk" if row(r["latency"], kind="sdk") else "raw"
    first = row(r["first"], language="python", name="run_code, raw lines")
    ready = row(r["start"], name="initialize answered, new state folder")
    own = first and first["own"]
    return [*latency(r, client), *throughput(r),
            report.target("python: the server's own time to the answer, by its trace, p50", own and own["p50"],
                          MAX_OWN_MS, "ms"),
            *memory(r),
            report.target("ready after start (initialize answered), p50", value(ready, "p50"), MAX_READY_MS, "ms")]
