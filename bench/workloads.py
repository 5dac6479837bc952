"""What is measured: the workloads, each a list of cases."""
from collections import namedtuple

import values

# point: the third word of the command; label: the case's name in the table, and
# x its place on a curve; connections: how many are open; way: only this one.
Case = namedtuple("Case", "label point family connections key way x")

# unit: of the figures, per call; kind: how the picture shows it; command: of
# the workers.
Workload = namedtuple("Workload", "name title unit kind command cases")

KEY = "benchmark-key"
FAMILIES = {"unix": "AF_UNIX", "inet": "AF_INET"}


def case(label, point="-", family="unix", connections=1, key="-", way=None, x=None):
    return Case(label, str(point), family, connections, key, way, x)


def size_label(size):
    for unit in ("B", "KiB", "MiB"):
        if size < 1024 or unit == "MiB":
            return "%d %s" % (size, unit)
        size //= 1024


def stream(name, sizes):
    return Workload(
        name, "one-way stream, a message", "µs", "curve", "w2",
        [case(size_label(size), size, x=size) for size in sizes])


def watched(name, counts):
    return Workload(
        name, "one ready of K watched, a step", "µs", "curve", "w3",
        [case("K = {:,}".format(k), 64, connections=k, x=k) for k in counts])


def calls(name, counts):
    return Workload(
        name, "one ready of K watched, the call that finds it", "µs", "curve",
        "look", [case("K = {:,}".format(k), 64, connections=k, x=k) for k in counts])


def clients(name, counts):
    return Workload(
        name, "K clients at once of one server, a message", "µs", "curve", "w7",
        [case("K = {:,}".format(k), 64, connections=k, x=k) for k in counts])


def memory(name, count):
    return Workload(
        name, "memory of a server for an idle connection", "bytes", "bars", "w6",
        [case("of {:,}".format(count), count, connections=0)])


def codec(way, title):
    return Workload(way, title, "µs", "bars", "codec", [
        case(name, name, None, 0, way=way) for name in values.NAMES])


def plain():
    return [
        Workload("w1", "round trip of 64 B", "µs", "bars", "w1",
                 [case(FAMILIES[f], 64, f) for f in FAMILIES]),
        stream("w2", [64, 1 << 10, 1 << 16, 1 << 20]),
        watched("w3", [1, 100, 1000, 5000]),
        calls("look", [1, 100, 1000, 5000]),
        Workload("w4", "objects, round trip", "µs", "bars", "w4", [
            case("4 scalars", "tuple4"), case("1,000 floats", "floats1000"),
            case("200 dicts", "dicts200")]),
        Workload("w5", "connect, authenticate both ways, close", "µs", "bars", "w5",
                 [case(FAMILIES[f], f, f, 0, KEY) for f in FAMILIES]),
        memory("w6", 2000),
        codec("dumps", "from objects to bytes"),
        codec("loads", "from bytes to objects"),
    ]


def scale(limit):
    """Of so many descriptors a few are not connections."""
    most = max(1, min(20000, limit - 100))
    return [
        stream("w2", [1, 16, 256, 1 << 12, 1 << 16, 1 << 20, 1 << 24, 1 << 28]),
        watched("w3", [k for k in (1, 10, 100, 1000, 5000, 10000) if k < most]
                + [most]),
        clients("w7", [1, 2, 4, 8, 16, 32, 64]),
        memory("w6", 8000),
    ]


def quick():
    """The same, tiny: whether it works at all."""
    return [
        workload._replace(cases=[
            c._replace(point="20" if workload.name == "w6" else c.point,
                       connections=min(c.connections, 3))
            for c in workload.cases[:2] + workload.cases[5:6]])
        for workload in plain() + [clients("w7", [2])]
    ]
