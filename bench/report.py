"""The table, and the raw figures as JSON."""
import json
import os
import platform
import subprocess
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
