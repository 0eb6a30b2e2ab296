"""The job agents are asked for most: a CSV of 100 MB in, pandas over it, three plots and a table out.

The file is made here, from a generator whose numbers are whole, so that what pandas must find is known exactly and
computed without it. Everything comes and goes as a client does it: uploaded in parts, run in a session, pictures
as image content, files downloaded in parts and hashed.
"""
import base64
import hashlib
import json

import mcp
import png
import pytest

BYTES = 100 * 10 ** 6
SHOPS = ["north", "south", "east", "west", "centre"]
HEADER = "id,shop,day,units,price\n"
PART = 8 << 20
RED, BLUE, WHITE = (255, 0, 0), (0, 0, 255), (255, 255, 255)

READ = """
import pandas as pd
frame = pd.read_csv("sales.csv", dtype={"shop": "category"})
frame["cents"] = (frame["price"] * 100).round().astype("int64") * frame["units"]
by_shop = frame.groupby("shop", observed=True)
table = pd.DataFrame({"rows": by_shop.size(), "units": by_shop["units"].sum(), "cents": by_shop["cents"].sum(),
                      "cheapest": by_shop["price"].min(), "dearest": by_shop["price"].max(),
                      "mean": by_shop["price"].mean(), "std": by_shop["price"].std(ddof=0)})
by_day = frame.groupby("day")["units"].sum()
print(pd.__version__, len(frame))
"""

ANSWER = """
import json
table.to_csv("table.csv")
print(json.dumps({"table": json.loads(table.to_json(orient="index", double_precision=15)),
                  "by_day": by_day.tolist(), "median": float(frame["units"].median()),
                  "quantile": float(frame["price"].quantile(0.9, interpolation="lower")),
                  "correlation": float(frame["units"].corr(frame["price"]))}))
"""

# the whole picture is the axes, so that pixels can be counted
BARS = """
import matplotlib.pyplot as plt
def whole(width, height):
    figure = plt.figure(figsize=(width / 100, height / 100), dpi=100)
    axes = figure.add_axes((0, 0, 1, 1))
    axes.axis("off")
    return axes
axes = whole(500, 400)
axes.bar(range(len(table)), table.loc[SHOPS, "rows"] / len(frame), width=1.0, color="red", linewidth=0)
axes.set(xlim=(-0.5, len(table) - 0.5), ylim=(0, TOP))
plt.savefig("bars.png")
plt.show()
"""

LINE = """
plt.figure(figsize=(6, 4), dpi=80)
plt.plot(by_day.index, by_day.values, color="blue", linewidth=3)
plt.title("units a day"); plt.xlabel("day")
plt.savefig("line.png")
plt.show()
"""

CLOUD = """
axes = whole(300, 300)
some = frame.iloc[::1000]
axes.scatter(some["units"], some["price"], s=4, color="black")
plt.savefig("cloud.png")
plt.show()
"""


def rows():
    """Deterministic for ever (Lehmer's generator, modulus 2^31 - 1): shop, day, units, price in cents."""
    state = 20240229
    while True:
        state = state * 48271 % 2147483647
        units = state % 97
        # the shops are not alike
        yield (state >> 3) % 15 // 3 * (state >> 9) % 5, (state >> 7) % 365, units, 100 + (state >> 5) % 90001 + 31 * units


def make():
    """The file, and what is in it."""
    text, size, n = [HEADER], len(HEADER), 0
    facts = {shop: {"rows": 0, "units": 0, "cents": 0, "prices": 0, "squares": 0, "low": 10 ** 9, "high": 0}
             for shop in SHOPS}
    by_day, units_seen, prices = [0] * 365, [0] * 97, []
    cross = {"u": 0, "p": 0, "uu": 0, "pp": 0, "up": 0}
    for shop, day, units, price in rows():
        line = f"{n},{SHOPS[shop]},{day},{units},{price // 100}.{price % 100:02d}\n"
        if size + len(line) > BYTES:
            break
        text.append(line)
        size, n = size + len(line), n + 1
        one = facts[SHOPS[shop]]
        one["rows"] += 1
        one["units"] += units
        one["cents"] += units * price
        one["prices"] += price
        one["squares"] += price * price
        one["low"], one["high"] = min(one["low"], price), max(one["high"], price)
        by_day[day] += units
        units_seen[units] += 1
        prices.append(price)
        cross["up"] += units * price
    cross["u"], cross["uu"] = sum(one["units"] for one in facts.values()), \
        sum(k * k * seen for k, seen in enumerate(units_seen))
    cross["p"] = sum(one["prices"] for one in facts.values())
    cross["pp"] = sum(one["squares"] for one in facts.values())
    prices.sort()
    return "".join(text).encode(), {"n": n, "shops": facts, "by_day": by_day, "units": units_seen, "cross": cross,
                                    "quantile": prices[int(0.9 * (n - 1))]}


def nth(seen, n):
    """The nth smallest of what was seen so many times each."""
    for value, times in enumerate(seen):
        if n < times:
            return value
        n -= times
    raise AssertionError("fewer than n")


class Job:
    """A session with the file in it, and what each step said."""

    def __init__(self, server):
        self.server = server
        self.content, self.facts = make()
        self.id = server.call("session_create", {"language": "python"})["session_id"]

    def tool(self, name, **arguments):
        return self.server.call(name, dict(arguments, session_id=self.id), timeout=120)

    def run(self, code):
        """structuredContent and the content blocks."""
        ident = self.server.start("run_code", {"language": "python", "code": code, "session_id": self.id,
                                               "timeout_ms": 120000})
        result = self.server.result_of(ident, 180)
        done = result["structuredContent"]
        assert done["status"] == "exited" and done["exit_code"] == 0 and done["stderr"] == "", done
        return done, result["content"]

    def download(self, path):
        data, at = b"", 0
        while True:
            part = self.tool("artifact_download", path=path, offset=at, length=50_000, encoding="base64")
            data += base64.b64decode(part["content"])
            if part["eof"]:
                return data, part
            at = part["next_offset"]


@pytest.fixture(scope="module")
def job(data_site):
    with data_site.server("data") as server:
        server.initialize()
        yield Job(server)


@pytest.fixture(scope="module")
def uploaded(job):
    for at in range(0, len(job.content), PART):
        done = job.tool("artifact_upload", path="sales.csv", offset=at, content=job.content[at:at + PART].decode())
    return done


@pytest.fixture(scope="module")
def analysed(job, uploaded):
    first, _ = job.run(READ)
    second, _ = job.run(ANSWER)
    job.answered = second
    for done in (first, second):                            # where there is a cgroup to tell
        print(f"took {done['duration_ms']} ms, peak {done.get('peak_memory_bytes', 0) >> 20} MiB")
        assert done.get("peak_memory_bytes", 0) < 1 << 30
    return first["stdout"], json.loads(second["stdout"])


@pytest.fixture(scope="module")
def plotted(job, analysed):
    top = max(one["rows"] for one in job.facts["shops"].values()) / job.facts["n"] * 1.25
    found = {}
    for name, code in (("bars", f"SHOPS = {SHOPS}\nTOP = {top!r}\n" + BARS), ("line", LINE), ("cloud", CLOUD)):
        done, blocks = job.run(code)
        images = [block for block in blocks if block["type"] == "image"]
        assert len(images) == 1 and images[0]["mimeType"] == "image/png", name
        found[name] = done, base64.b64decode(images[0]["data"])
    return found, top


def test_the_file_arrives_as_it_was_sent(job, uploaded):
    assert BYTES - 64 < uploaded["size"] == len(job.content) <= BYTES
    assert uploaded["sha256"] == hashlib.sha256(job.content).hexdigest()
    said = job.server.run_command("sha256sum sales.csv; wc -l < sales.csv", session_id=job.id, timeout_ms=60000)
    assert said["stdout"].split() == [uploaded["sha256"], "sales.csv", str(job.facts["n"] + 1)]


def test_pandas_finds_what_is_in_it(job, analysed):
    version, rows_read = analysed[0].split()
    assert int(version.split(".")[0]) >= 3 and int(rows_read) == job.facts["n"]
    for shop, one in job.facts["shops"].items():
        got = analysed[1]["table"][shop]
        assert (got["rows"], got["units"], got["cents"]) == (one["rows"], one["units"], one["cents"]), shop
        assert (round(got["cheapest"] * 100), round(got["dearest"] * 100)) == (one["low"], one["high"])
        mean = one["prices"] / one["rows"] / 100
        variance = (one["squares"] * one["rows"] - one["prices"] ** 2) / one["rows"] ** 2 / 10 ** 4
        assert got["mean"] == pytest.approx(mean, rel=1e-9) and got["std"] == pytest.approx(variance ** 0.5, rel=1e-9)


def test_the_numbers_of_the_whole_are_right(job, analysed):
    got, n, c = analysed[1], job.facts["n"], job.facts["cross"]
    assert got["by_day"] == job.facts["by_day"]
    assert got["quantile"] == pytest.approx(job.facts["quantile"] / 100, abs=1e-9)
    assert got["median"] == (nth(job.facts["units"], (n - 1) // 2) + nth(job.facts["units"], n // 2)) / 2
    expected = (n * c["up"] - c["u"] * c["p"]) / \
        ((n * c["uu"] - c["u"] ** 2) * (n * c["pp"] - c["p"] ** 2)) ** 0.5
    assert got["correlation"] == pytest.approx(expected, rel=1e-9, abs=1e-9)


def test_the_bars_have_the_heights_of_the_data(job, plotted):
    pictures, top = plotted
    data, _ = job.download("bars.png")
    picture = png.Picture(data)
    assert (picture.width, picture.height) == (500, 400)
    for i, shop in enumerate(SHOPS):
        height = job.facts["shops"][shop]["rows"] / job.facts["n"] / top
        left = i * 100
        # a pixel at each edge is a mixture; in height one of 400 rows
        assert picture.share(RED, left + 2, left + 98) == pytest.approx(height, abs=1.5 / 400), shop
        assert picture.share(WHITE, left + 2, left + 98) == pytest.approx(1 - height, abs=1.5 / 400), shop
    assert len({round(job.facts["shops"][shop]["rows"] / job.facts["n"], 2) for shop in SHOPS}) > 1
    shown = png.Picture(pictures["bars"][1])                # as notebooks show it: cut to what is drawn
    total = sum(one["rows"] for one in job.facts["shops"].values()) / job.facts["n"] / top / len(SHOPS)
    assert shown.share(RED) == pytest.approx(total, abs=0.05)


def test_the_line_and_the_cloud_are_drawn(job, plotted):
    pictures, _ = plotted
    line, cloud = png.Picture(job.download("line.png")[0]), png.Picture(job.download("cloud.png")[0])
    assert (line.width, line.height, cloud.width, cloud.height) == (480, 320, 300, 300)
    assert 0.005 < line.share(BLUE, tolerance=60) < 0.6 and line.share(WHITE) > 0.3
    # text and frame are black, and all of it is not one colour
    assert line.share((0, 0, 0), tolerance=60) > 0.001
    black = cloud.share((0, 0, 0), tolerance=60)
    assert 0.01 < black < 0.99 and black + cloud.share(WHITE) > 0.5
    for name, colour in (("line", BLUE), ("cloud", (0, 0, 0))):
        shown = png.Picture(pictures[name][1])
        assert shown.width > 200 and shown.height > 200 and shown.share(colour, tolerance=60) > 0.005, name
    assert len({data for _, data in pictures.values()}) == 3


def test_what_comes_out_is_hashed_the_same_everywhere(job, plotted):
    """By the sandbox's own sha256sum, by the call that made it, by the listing, and here."""
    names = ["bars.png", "line.png", "cloud.png", "table.csv"]
    said = job.server.run_command("sha256sum " + " ".join(names), session_id=job.id)["stdout"].split()
    inside = dict(zip(said[1::2], said[::2]))
    listed = {row["path"]: row for row in job.tool("artifact_list")["entries"]}
    reported = {row["path"]: row for done in [one for one, _ in plotted[0].values()] + [job.answered]
                for row in done["changed_files"]}
    for name in names:
        data, part = job.download(name)
        ours = hashlib.sha256(data).hexdigest()
        assert ours == inside[name] == reported[name]["sha256"], name
        assert len(data) == part["size"] == listed[name]["size"] == reported[name]["size"], name
        assert reported[name]["change"] == "created"
        assert part["mime_type"] == ("image/png" if name.endswith("png") else "text/plain"), name
    whole = job.tool("artifact_download", path="bars.png", encoding="base64", length=1 << 20)
    assert whole["eof"] and whole["sha256"] == inside["bars.png"]


def test_the_workspace_holds_what_was_asked_for_alone(job, plotted):
    """No configuration, cache or byte code of a package."""
    assert sorted(row["path"] for row in job.tool("artifact_list")["entries"]) == \
        ["bars.png", "cloud.png", "line.png", "sales.csv", "table.csv"]


def test_what_a_user_must_ask_for(data_site):
    """The defaults of a session are enough for it; a call of its own has a smaller workspace, and says so."""
    with data_site.server("data") as server:
        server.initialize()
        info = server.call("session_create", {"language": "python"})
        assert info["workspace_bytes"] > BYTES and info["memory_bytes"] >= 1 << 30
        with pytest.raises(mcp.ToolError) as why:
            server.call("session_create", {"workspace_bytes": 1 << 40})
        assert "workspace_bytes" in why.value.cause
        assert server.call("sandbox_info")["limits"]["workspace_bytes"] < BYTES
