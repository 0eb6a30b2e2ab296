"""plot.py: the results as one SVG, without a library: latency, calls per second, bursts, growth."""
import math
from html import escape

WIDTH, LEFT, RIGHT, ROW = 960, 330, 40, 18
COLORS = ("#7a869a", "#c0392b", "#1f6fb2", "#2e8b57", "#8e44ad", "#b9770e", "#16a085", "#5d4037")
OURS = "#1f6fb2"
STYLE = ("text{font:12px sans-serif;fill:#222}.h{font-weight:bold;font-size:14px}.s{fill:#666;font-size:11px}"
         ".g{stroke:#ddd}.a{stroke:#888}")


class Picture:
    def __init__(self):
        self.parts, self.y = [], 10

    def add(self, kind, text=None, **attributes):
        given = "".join(f' {key.rstrip("_").replace("_", "-")}="{value:.1f}"' if isinstance(value, float) else
                        f' {key.rstrip("_").replace("_", "-")}="{escape(str(value))}"'
                        for key, value in attributes.items())
        self.parts.append(f"<{kind}{given}/>" if text is None else f"<{kind}{given}>{escape(text)}</{kind}>")

    def text(self, x, y, text, cls="", anchor="start"):
        self.add("text", text, x=float(x), y=float(y), class_=cls, text_anchor=anchor)

    def line(self, x1, y1, x2, y2, cls="a", **more):
        self.add("line", x1=float(x1), y1=float(y1), x2=float(x2), y2=float(y2), class_=cls, **more)

    def heading(self, text):
        self.y += 30
        self.text(10, self.y, text, "h")
        self.y += 12

    def svg(self):
        return (f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{self.y + 20}" '
                f'viewBox="0 0 {WIDTH} {self.y + 20}"><style>{STYLE}</style>'
                '<rect width="100%" height="100%" fill="#fff"/>' + "\n".join(self.parts) + "</svg>")


class Log:
    """A logarithmic axis from one round number to another."""

    def __init__(self, values, begin, end):
        self.low, self.high = math.floor(math.log10(min(values))), math.ceil(math.log10(max(values)))
        self.high = max(self.high, self.low + 1)
        self.begin, self.end = begin, end

    def at(self, value):
        part = (math.log10(value) - self.low) / (self.high - self.low)
        return self.begin + part * (self.end - self.begin)

    def ticks(self):
        for power in range(self.low, self.high + 1):
            yield 10 ** power, f"{10 ** power:g}"


def axis_x(p, axis, top, unit):
    for value, label in axis.ticks():
        p.line(axis.at(value), top, axis.at(value), p.y, "g")
        p.text(axis.at(value), p.y + 14, f"{label} {unit}", "s", "middle")
    p.y += 18


def bars(p, title, rows):
    """rows: (name, value, upper end or None, words, color)"""
    if not rows:
        return
    p.heading(title)
    axis = Log([v for _, value, upper, _, _ in rows for v in (value, upper or value)], LEFT, WIDTH - 250)
    top = p.y
    behind = len(p.parts)
    for name, value, upper, words, color in rows:
        p.text(LEFT - 8, p.y + 13, name, "", "end")
        p.add("rect", x=float(LEFT), y=float(p.y + 3), width=max(1.0, axis.at(value) - LEFT), height=12.0, fill=color)
        end = axis.at(upper or value)
        if upper:
            p.line(axis.at(value), p.y + 9, end, p.y + 9)
            p.line(end, p.y + 5, end, p.y + 13)
        p.text(end + 6, p.y + 13, words, "s")
        p.y += ROW
    p.y += 4
    front, p.parts = p.parts[behind:], p.parts[:behind]
    axis_x(p, axis, top, "ms")
    p.parts += front


def latency(p, rows):
    for language in dict.fromkeys(row["language"] for row in rows):
        bars(p, f"one run, {language}: p50 (bar) to p95 (line)", [
            (row["name"], row["p50"], row["p95"],
             f"{row['to_bare']:.2f} x bare, {row['p50']:.2f} ms"
             + (f", {row['warm']} of {row['n']} warm" if row["warm"] else ""),
             OURS if row["name"].startswith("run_code") else COLORS[0])
            for row in rows if row["language"] == language])


def bursts(p, rows):
    for n in dict.fromkeys(row["n"] for row in rows):
        bars(p, f"burst of {n}, python: until half is done (bar), until all are (line)", [
            (row["name"], row["p50_ms"], row["all_ms"],
             f"{row['all_ms']:.0f} ms" + (f", {row['errors']} errors" if row["errors"] else ""),
             OURS if row["name"].startswith("run_code") else COLORS[0])
            for row in rows if row["n"] == n])


def curves(p, title, lines, x_name, log_x):
    """lines: name -> [(x, y)]"""
    points = [point for line in lines.values() for point in line]
    p.heading(title)
    height, begin, end = 220, 80, WIDTH - 380
    bottom, top = p.y + height, p.y
    largest = max(y for _, y in points) * 1.05 or 1
    xs = sorted({x for x, _ in points})

    def at_x(x):
        part = (math.log2(x / xs[0]) / math.log2(xs[-1] / xs[0])) if log_x else (x - xs[0]) / (xs[-1] - xs[0])
        return begin + part * (end - begin)

    def at_y(y):
        return bottom - y / largest * height

    for i in range(5):
        value = largest * i / 4
        p.line(begin, at_y(value), end, at_y(value), "g")
        p.text(begin - 6, at_y(value) + 4, f"{value:,.0f}", "s", "end")
    for x in xs if log_x else (xs[0], xs[-1]):
        p.text(at_x(x), bottom + 16, f"{x:,}", "s", "middle")
    p.text(end + 14, bottom + 16, x_name, "s")
    for i, (name, line) in enumerate(lines.items()):
        color = COLORS[i % len(COLORS)]
        p.add("polyline", points=" ".join(f"{at_x(x):.1f},{at_y(y):.1f}" for x, y in line), fill="none",
              stroke=color, stroke_width=2)
        p.add("rect", x=float(end + 14), y=float(top + i * 18), width=12.0, height=12.0, fill=color)
        p.text(end + 32, top + i * 18 + 11, name)
    p.y = bottom + 20


def growth(p, found):
    kinds = [key for key in ("all_pss_kib", "all_rss_kib", "own_pss_kib", "own_rss_kib") if key in found["samples"][0]]
    curves(p, "memory of a server, KiB, by calls made", {
        key.replace("_kib", "").replace("_", " ").replace("own", "its own processes,").replace("all", "all,"):
        [(s["calls"], s[key]) for s in found["samples"]] for key in kinds}, "calls", False)


def draw(r):
    p, about = Picture(), r["about"]
    p.y += 12
    p.text(10, p.y, f"fumehood {about['version']}, {about['as']}: {about['date']}", "h")
    versions = ", ".join(f"{name} {version}" for name, version in about["versions"].items())
    for line in (f"{about['cpus']} x {about['cpu']}, Linux {about['kernel']}, load {about['load'][0]} to "
                 f"{about['load'][1]}", versions):
        p.y += 18
        p.text(10, p.y, line, "s")
    latency(p, r["latency"])
    curves(p, "calls per second, python, by calls in flight", {
        row["name"]: [(n, rate) for n, rate in row["per_second"].items()] for row in r["rates"]}, "in flight", True)
    bursts(p, r["bursts"])
    growth(p, r["growth"])
    return p.svg()
