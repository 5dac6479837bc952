#!/usr/bin/env python3
"""Draws the figures: for each workload a table of bars, or curves.

    bench/picture.py bench/results/bench.json    draws bench.svg anew
"""
import json
import math
import sys
from html import escape

import report

WIDTH, MARGIN, ROW = 960, 24, 19
LABELS = 250  # width of the names at the left of bars, and at the right of curves
HEIGHT = 330  # of curves
CLIPPED = 4  # bars end at so many times ours: one slow peer hides no other

OURS = "multiprocessing"
COLORS = {"c": "#8a8a8a", OURS: "#d6336c", "luasocket": "#e8820c",
          "cqueues": "#9c5fd0", "luv": "#17a398", "zeromq": "#a5793b"}
PYTHONS = ["#3b7dd8", "#74a9e8", "#2a5a9e", "#5b8bc9"]
OTHERS = ["#7c9a2e", "#b5883a", "#5f8f8f"]
DASHES = ["", "7 4", "2 3", "9 3 2 3", "1 5"]

STYLE = """
 text { font: 12px system-ui, sans-serif; fill: #24292f; }
 .title { font-size: 17px; font-weight: 600; }
 .head { font-size: 14px; font-weight: 600; }
 .small { font-size: 11px; fill: #57606a; }
 .ours { font-weight: 600; }
 .back { fill: #ffffff; }
 .grid { stroke: #d0d7de; stroke-width: 1; }
 @media (prefers-color-scheme: dark) {
  text { fill: #e6edf3; }
  .small { fill: #9da7b1; }
  .back { fill: #0d1117; }
  .grid { stroke: #30363d; }
 }
"""


class Colors:
    def __init__(self, peers):
        self.of, pythons, others = dict(COLORS), list(PYTHONS), list(OTHERS)
        for peer in peers:
            if peer not in self.of:
                rest = pythons if peer.startswith("python") else others
                self.of[peer] = rest.pop(0) if rest else "#8a8a8a"


class Canvas:
    def __init__(self):
        self.parts, self.y = [], MARGIN

    def add(self, pattern, *values):
        self.parts.append(pattern % values)

    def text(self, x, y, what, kind="", anchor="start", color=None):
        style = " style='fill:%s'" % color if color else ""
        self.add("<text x='%.1f' y='%.1f' class='%s' text-anchor='%s'%s>%s</text>",
                 x, y, kind, anchor, style, escape(what))

    def write(self, path):
        height = self.y + MARGIN
        with open(path, "w") as file:
            file.write(
                "<svg xmlns='http://www.w3.org/2000/svg' viewBox='0 0 %d %d' "
                "width='%d' height='%d'>\n<style>%s</style>\n"
                "<rect class='back' width='100%%' height='100%%' fill='#ffffff'/>\n"
                % (WIDTH, height, WIDTH, height, STYLE))
            file.write("\n".join(self.parts) + "\n</svg>\n")


def kind_of(peer):
    return "ours" if peer == OURS else ""


def number(value):
    return "{:,.0f}".format(value) if value >= 100 else "%.3g" % value


# ---- bars: a row for each peer, a column for each case ----

def draw_bars(canvas, workload, rows, colors):
    cases = workload["cases"]
    column = (WIDTH - 2 * MARGIN - LABELS) / len(cases)
    canvas.y += 16
    for i, case in enumerate(cases):
        canvas.text(MARGIN + LABELS + i * column, canvas.y, case, "small")
    longest = [scale_of(rows, case) for case in cases]
    for (peer, way), medians in rows.items():
        canvas.y += ROW
        canvas.text(MARGIN + LABELS - 10, canvas.y, report.row_name(peer, way),
                    kind_of(peer), "end")
        for i, case in enumerate(cases):
            draw_bar(canvas, MARGIN + LABELS + i * column, column - 70,
                     medians.get(case), longest[i], colors.of[peer])
    canvas.y += 10


def scale_of(rows, case):
    """What the longest bar stands for."""
    every = [m[case] for m in rows.values() if m.get(case)]
    ours = [CLIPPED * m[case] for (peer, _), m in rows.items()
            if peer == OURS and m.get(case)]
    return min(ours + [max(every, default=1)])


def draw_bar(canvas, x, room, value, longest, color):
    if value is None:
        canvas.text(x, canvas.y, "–", "small")
        return
    width = max(1.0, room * min(1.0, value / longest))
    canvas.add("<rect x='%.1f' y='%.1f' width='%.1f' height='12' rx='2' "
               "fill='%s'/>", x, canvas.y - 10, width, color)
    if value > longest:  # it goes on
        canvas.add("<path d='M%.1f %.1f l4 -14 h4 l-4 14 z' class='back' "
                   "fill='#ffffff'/>", x + width - 14, canvas.y + 3)
    canvas.text(x + width + 5, canvas.y, number(value), "small")


# ---- curves: both axes logarithmic ----

class Axis:
    def __init__(self, values, start, end):
        self.low, self.high = math.log10(min(values)), math.log10(max(values))
        if self.high - self.low < 0.1:
            self.high += 1
        self.start, self.end = start, end

    def place(self, value):
        share = (math.log10(value) - self.low) / (self.high - self.low)
        return self.start + share * (self.end - self.start)

    def ticks(self):
        """Powers of ten; on a short axis also what is 2 and 5 times those."""
        powers = range(math.floor(self.low), math.floor(self.high) + 1)
        steps = (1, 2, 5) if self.high - self.low < 3 else (1,)
        every = [step * 10.0 ** power for power in powers for step in steps]
        return [v for v in every
                if self.low - 1e-9 <= math.log10(v) <= self.high + 1e-9]


def series_of(data, workload):
    """[(peer, way, [(x, median)])]"""
    found = {}
    for r in data["results"]:
        if r["workload"] == workload["name"] and r["median"] and r["x"]:
            found.setdefault((r["peer"], r["way"]), []).append(
                (r["x"], r["median"]))
    return [(peer, way, points) for (peer, way), points in found.items()]


def draw_curves(canvas, data, workload, colors):
    series = series_of(data, workload)
    if not series:
        return
    labels = {r["x"]: r["case"] for r in data["results"]
              if r["workload"] == workload["name"]}
    top, bottom = canvas.y + 14, canvas.y + HEIGHT
    every = [point for _, _, points in series for point in points]
    x = Axis([p[0] for p in every], MARGIN + 44, WIDTH - MARGIN - LABELS)
    y = Axis([p[1] for p in every], bottom, top)
    for value in y.ticks():
        at = y.place(value)
        canvas.add("<path class='grid' stroke='#d0d7de' d='M%.1f %.1f H%.1f'/>",
                   x.start, at, x.end)
        canvas.text(x.start - 6, at + 4, "{:,.12g}".format(value), "small", "end")
    free = WIDTH  # labels from the right to the left, where there is room
    for value in sorted({p[0] for p in every}, reverse=True):
        if x.place(value) + 32 < free:
            free = x.place(value) - 32
            canvas.text(x.place(value), bottom + 18, labels[value], "small",
                        "middle")
    ends = []
    ways = {}
    for peer, way, points in series:
        dash = DASHES[ways.setdefault(peer, 0) % len(DASHES)]
        ways[peer] += 1
        draw_line(canvas, [(x.place(a), y.place(b)) for a, b in points],
                  colors.of[peer], dash, 2.6 if peer == OURS else 1.6)
        ends.append([y.place(points[-1][1]), x.place(points[-1][0]), peer, way,
                     dash])
    label_ends(canvas, x.end, ends, colors)
    canvas.y = max(bottom, max(end[0] for end in ends)) + 30


def draw_line(canvas, points, color, dash, width):
    canvas.add("<polyline points='%s' fill='none' stroke='%s' stroke-width='%s' "
               "stroke-dasharray='%s' stroke-linejoin='round'/>",
               " ".join("%.1f,%.1f" % p for p in points), color, width,
               dash or "none")
    for at in points:
        canvas.add("<circle cx='%.1f' cy='%.1f' r='2.5' fill='%s'/>", *at, color)


def label_ends(canvas, right, ends, colors):
    """Names at the right, in the order of the curves' ends, none over another."""
    ends.sort()
    for before, end in zip(ends, ends[1:]):
        end[0] = max(end[0], before[0] + 15)
    for at, _, peer, way, dash in ends:
        canvas.add("<path d='M%.1f %.1f h22' stroke='%s' stroke-width='2' "
                   "stroke-dasharray='%s'/>", right + 12, at, colors.of[peer],
                   dash or "none")
        canvas.text(right + 40, at + 4, report.row_name(peer, way), kind_of(peer))


# ---- all of it ----

def save(data, path):
    canvas, colors = Canvas(), Colors(data["versions"])
    machine = data["machine"]
    canvas.text(MARGIN, canvas.y + 4, "multiprocessing for Lua beside others",
                "title")
    canvas.y += 24
    canvas.text(MARGIN, canvas.y, "Less is better. %s; %s, %s; server and client "
                "on %s; medians of %d rounds" % (
                    data["date"], machine["processor"], machine["kernel"],
                    "one CPU" if data["cpus"] == 1 else "two CPUs",
                    data["rounds"]), "small")
    for workload in data["workloads"]:
        rows = report.table(data, workload)
        if not rows:
            continue
        canvas.y += 30
        title = workload["title"][0].upper() + workload["title"][1:]
        canvas.text(MARGIN, canvas.y, title + ", " + workload["unit"], "head")
        if workload["kind"] == "curve":
            draw_curves(canvas, data, workload, colors)
        else:
            draw_bars(canvas, workload, rows, colors)
    canvas.write(path)


if __name__ == "__main__":
    for name in sys.argv[1:]:
        with open(name) as file:
            save(json.load(file), name.rsplit(".", 1)[0] + ".svg")
