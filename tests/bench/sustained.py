"""sustained.py: calls per second with N in flight, beside plain bwrap with N workers.

In each repetition the numbers come in random order, and for one number all ways in random order one after
the other: what is divided by each other was measured side by side.
"""
import random

import report
import servers

REPETITIONS = 2
MOST_SERVERS = 16       # of one machine, side by side
RAMP = 0.25             # of a slice: run before it, and not counted
BWRAP, RAW = "plain bwrap, N at once", "run_code, one server, N calls in flight"
SDK, SERVERS = "run_code, one TypeScript SDK client, N in flight", "run_code, N clients, a server each"
SDKS = "run_code, N TypeScript SDK clients, a server each"
NOTES = (f"calls per second: the mean of {REPETITIONS} slices each; x: to plain bwrap with as many workers",)


class Slices:
    """What has been measured: way -> N -> [per second], and how many calls were warm."""

    def __init__(self, names):
        self.rates = {name: {} for name in names}
        self.calls = {name: [0, 0] for name in names}

    def add(self, name, n, rate, calls, warm):
        self.rates[name].setdefault(n, []).append(rate)
        self.calls[name][0] += calls
        self.calls[name][1] += warm

    def rows(self):
        mean = {name: {n: sum(found) / len(found) for n, found in of.items()}
                for name, of in self.rates.items()}
        return [{"name": name, "per_second": {n: round(of[n], 1) for n in sorted(of)},
                 "to_bwrap": {n: round(of[n] / mean[BWRAP][n], 3) for n in sorted(of)},
                 "calls": self.calls[name][0], "warm": self.calls[name][1]} for name, of in mean.items()]


def of_bwrap(b, n, seconds):
    def once(time):
        rate, used = b.spawner.ask("rate", kind="bwrap", language="python", nonce=b.next(), at_once=n,
                                   seconds=time)
        b.next(used)
        return rate, used, 0
    once(RAMP * seconds)
    return once(seconds)


def of_servers(b, made, in_flight, seconds):
    def once(time):
        rate, used, warm = servers.rate(made, in_flight, "python", b.next(), time)
        b.next(used)
        return rate, used, warm
    once(RAMP * seconds)
    return once(seconds)


def of_new_servers(b, n, seconds):
    made = [b.keep(servers.Server(b.command())) for _ in range(n)]
    for server in made:
        server.initialize()
    found = of_servers(b, made, 1, seconds)
    b.close(*made)
    return found


def of_sdk(b, client, in_flight, seconds):
    def once(time):
        rate, used, warm = client.rate("python", b.next(), time, in_flight)
        b.next(used)
        return rate, used, warm
    once(RAMP * seconds)
    return once(seconds)


def of_new_sdks(b, n, seconds):
    client = b.sdk(b.command(), n)
    found = of_sdk(b, client, 1, seconds)
    b.close(client)
    return found


def measure(b):
    server = b.server()
    ways = {BWRAP: (max(b.in_flight), of_bwrap),
            RAW: (max(b.in_flight), lambda b, n, s: of_servers(b, [server], n, s)),
            SERVERS: (MOST_SERVERS, of_new_servers)}
    client = None
    if b.has_sdk:
        client = b.sdk(b.command())
        ways[SDK] = max(b.in_flight), lambda b, n, s: of_sdk(b, client, n, s)
        ways[SDKS] = MOST_SERVERS, of_new_sdks
    cells = sum(n <= most for most, _ in ways.values() for n in b.in_flight) * REPETITIONS
    seconds = b.seconds("sustained") / cells / (1 + RAMP)
    found = Slices(ways)
    for _ in range(REPETITIONS):
        for n in random.sample(b.in_flight, len(b.in_flight)):
            for name in random.sample([w for w, (most, _) in ways.items() if n <= most],
                                      sum(n <= most for most, _ in ways.values())):
                b.say(f"calls per second: {name}: {n}")
                found.add(name, n, *ways[name][1](b, n, seconds))
    b.close(server, *([client] if client else []))
    return found.rows()


def table(rows):
    columns = sorted({n for row in rows for n in row["per_second"]})
    out = []
    for row in rows:
        if row["name"] != BWRAP:
            out.append(["  " + row["name"] + ", x", *(report.number(row["to_bwrap"].get(n), 2) for n in columns),
                        report.percent(row["warm"], row["calls"])])
    out += [["  " + row["name"], *(report.number(row["per_second"].get(n), 0) for n in columns), ""]
            for row in rows]
    return report.table(["calls per second, python", *map(str, columns), "warm"], out)
