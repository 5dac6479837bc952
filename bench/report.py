#!/usr/bin/env python3
"""The table, and the raw figures as JSON.

    bench/report.py bench/results/bench.json    prints the main README's table
"""
import json
import os
import platform
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))


def first_line(*argv):
    try:
        return subprocess.run(argv, stdout=subprocess.PIPE, cwd=HERE,
                              stderr=subprocess.DEVNULL,
                              universal_newlines=True).stdout.strip()
    except OSError:
        return ""


def processor():
    with open("/proc/cpuinfo") as file:
        for line in file:
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    return platform.machine()


def collect(chosen, peers, missing, cpus, rounds, results):
    return {
        "date": time.strftime("%Y-%m-%d"),
        "commit": first_line("git", "describe", "--always", "--dirty"),
        "machine": {
            "processor": processor(), "processors": os.cpu_count(),
            "kernel": platform.system() + " " + platform.release(),
        },
        "cpus": cpus, "rounds": rounds,
        "versions": {peer.name: peer.version for peer in peers},
        "missing": missing,
        "workloads": [{
            "name": w.name, "title": w.title, "unit": w.unit, "kind": w.kind,
            "cases": [c.label for c in w.cases],
        } for w in chosen],
        "results": results,
    }


def table(data, workload):
    """{(peer, way): {case: median}}, in the order of the results."""
    rows = {}
    for r in data["results"]:
        if r["workload"] == workload["name"]:
            rows.setdefault((r["peer"], r["way"]), {})[r["case"]] = r["median"]
    return rows


def row_name(peer, way):
    return peer if way == "-" else "%s, %s" % (peer, way)


def yardstick(rows):
    """The row that the others are compared with: C's, else our first one."""
    for name in ("c", "multiprocessing"):
        for key in rows:
            if key[0] == name:
                return key
    return next(iter(rows), None)


def cell(median, base):
    if median is None:
        return "-"
    text = "{:,.0f}".format(median) if median >= 1000 else "%.3g" % median
    return "%s (%.2f)" % (text, median / base) if base else text


def heading(workload, base):
    """Only times are compared: a C program keeps but a number."""
    text = "%s: %s, %s" % (workload["name"].upper(), workload["title"],
                           workload["unit"])
    return text + (" (times %s)" % row_name(*base) if base else "")


def show_workload(data, workload):
    rows = table(data, workload)
    if not rows:
        return
    base = yardstick(rows) if workload["unit"] == "µs" else None
    bases = rows.get(base, {})
    widths = [max(16, len(name) + 2) for name in workload["cases"]]
    print(heading(workload, base))
    print(" " * 38 + "".join(
        name.ljust(width) for name, width in zip(workload["cases"], widths)).rstrip())
    for key, medians in rows.items():
        print("  %-36s" % row_name(*key) + "".join(
            cell(medians.get(name), bases.get(name)).ljust(width)
            for name, width in zip(workload["cases"], widths)).rstrip())
    print()


def show(data):
    for workload in data["workloads"]:
        show_workload(data, workload)
    reasons = {"%s: %s" % (row_name(r["peer"], r["way"]), r["failed"]):
               "%s, %s" % (r["workload"], r["case"])
               for r in data["results"] if r["failed"]}
    for reason, where in reasons.items():
        print("%s (%s)" % (reason, where))
    for name, reason in data["missing"].items():
        print("%s: not here (%s)" % (name, reason))


def save(data, path):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(data, file, indent=1, ensure_ascii=False)
        file.write("\n")


# ---- the short table of the main README ----

CHOSEN = [("w1", "AF_UNIX"), ("w1", "AF_INET"), ("w2", "64 B"), ("w2", "1 KiB"),
          ("w2", "64 KiB"), ("w2", "1 MiB"), ("w3", "K = 1"), ("w3", "K = 5,000"),
          ("w4", "4 scalars"), ("w4", "1,000 floats"), ("w4", "200 dicts"),
          ("w5", "AF_UNIX"), ("w5", "AF_INET")]


def best(data, workload, case, is_wanted):
    """The fastest row of those peers, as text."""
    found = [(r["median"], r["peer"], r["way"]) for r in data["results"]
             if (r["workload"], r["case"]) == (workload, case) and r["median"]
             and is_wanted(r["peer"])]
    if not found:
        return "–", ""
    median, peer, way = min(found)
    return cell(median, None), row_name(peer, way)


def markdown(data):
    titles = {w["name"]: w["title"] for w in data["workloads"]}
    newest = [peer for peer in data["versions"] if peer.startswith("python")][-1]
    yield "| µs, less is better | C | this library | C%s | best other |" % (
        newest.replace("python", "Python "))
    yield "|---|---|---|---|---|"
    for workload, case in CHOSEN:
        ours, way = best(data, workload, case, "multiprocessing".__eq__)
        other, name = best(data, workload, case, lambda peer: peer not in (
            "c", "multiprocessing") and not peer.startswith("python"))
        way = way.partition(", ")[2]
        yield "| %s | %s | %s | %s | %s |" % (
            titles[workload] + ": " + case,
            best(data, workload, case, "c".__eq__)[0],
            "**%s**" % ours + (" `%s`" % way if way else ""),
            best(data, workload, case, newest.__eq__)[0],
            other + (" " + name if name else ""))


if __name__ == "__main__":
    for file_name in sys.argv[1:]:
        with open(file_name) as source:
            print("\n".join(markdown(json.load(source))))
