"""Starts the peers' workers and asks them; bench/README.md has the commands."""
import os
import re
import resource
import select
import shlex
import subprocess
import tempfile

HERE = os.path.dirname(os.path.abspath(__file__))
BUILD = os.path.abspath(os.environ.get("BUILD", os.path.join(HERE, "..", "build")))
LUA = shlex.split(os.environ.get("LUA", "lua5.4"))
CPUS = int(os.environ.get("CPUS", "1"))
DESCRIPTORS = 21000  # what the largest workload needs
# Seconds that no command takes.
PATIENCE = 60 if os.environ.get("BENCH_SCALE") else 20
# Peers that come first, in this order; the others follow by their names.
FIRST = ["c", "multiprocessing", "python", "luasocket", "cqueues", "luv", "zeromq"]


class Failure(Exception):
    """A worker cannot, or is gone."""


# ---- what is there ----

def pythons():
    """{3.N: path}, in PATH and of pyenv, of those that work."""
    root = os.environ.get("PYENV_ROOT", os.path.expanduser("~/.pyenv"))
    folders = os.environ.get("PATH", "").split(os.pathsep)
    versions = os.path.join(root, "versions")
    if os.path.isdir(versions):
        folders += [os.path.join(versions, v, "bin") for v in os.listdir(versions)]
    found = {}
    for folder in folders:
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            match = re.fullmatch(r"python3\.(\d+)", name)
            path = os.path.join(folder, name)
            if match and int(match[1]) >= 6 and int(match[1]) not in found:
                works = subprocess.run([path, "-c", "import _pickle, _socket"],
                                       stdout=subprocess.DEVNULL,
                                       stderr=subprocess.DEVNULL)
                if works.returncode == 0:
                    found[int(match[1])] = path
    return {"python3.%d" % minor: found[minor] for minor in sorted(found)}


def command_of(file):
    path, (name, kind) = os.path.join(HERE, "peers", file), os.path.splitext(file)
    if kind == ".lua":
        return LUA + [path]
    return [os.path.join(BUILD, "bench", name)]  # of a file in C


def find_peers(wanted=None):
    """{name: argv}; of the Pythons the newest two, unless names are wanted."""
    files = [f for f in os.listdir(os.path.join(HERE, "peers"))
             if f.endswith((".lua", ".c", ".py"))]
    place = {name: i for i, name in enumerate(FIRST)}
    found = {}
    for file in sorted(files, key=lambda f: (
            place.get(os.path.splitext(f)[0], len(FIRST)), f.lower())):
        name = os.path.splitext(file)[0]
        if file.endswith(".py"):
            several = {n: [path, os.path.join(HERE, "peers", file)]
                       for n, path in pythons().items()}
            if wanted is None:
                several = dict(list(several.items())[-2:])
            found.update(several)
        else:
            found[name] = command_of(file)
    if wanted is None:
        return found
    for name in set(wanted) - set(found):
        raise SystemExit("no peer %s; there are %s" % (name, ", ".join(found)))
    return {name: found[name] for name in found if name in wanted}


# ---- processors and descriptors ----

def processors():
    """(of the server, of the client)"""
    ours = sorted(os.sched_getaffinity(0))
    if CPUS > 1 and len(ours) > 1:
        return ours[-1], ours[-2]
    return ours[-1], ours[-1]


def raise_limit():
    """How many descriptors a process may have: as many as we need, if we may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    for limit in (DESCRIPTORS, hard):
        try:
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, max(limit, hard)))
            break
        except (ValueError, OSError):
            pass
    return resource.getrlimit(resource.RLIMIT_NOFILE)[0]


# ---- processes ----

def lua_paths():
    """Where workers find our modules first, and the clock."""
    ours = {"LUA_PATH": [os.path.join(HERE, "?.lua"),
                         os.path.join(HERE, "..", "lua", "?.lua")],
            "LUA_CPATH": [os.path.join(BUILD, "?.so"),
                          os.path.join(BUILD, "spec", "?.so")]}
    found = {}
    for name, paths in ours.items():
        version = name + "_5_4"  # goes before the other, where it is set
        others = os.environ.get(version) or os.environ.get(name) or ";"
        found[name] = found[version] = ";".join(paths + [others])
    return found


class Worker:
    """One process: a line for each line."""

    def __init__(self, argv, role, folder, cpu):
        environment = dict(os.environ, BENCH_CPUS=str(CPUS), **lua_paths())
        self.buffer = b""
        try:
            self.process = subprocess.Popen(
                argv + [role, folder], stdin=subprocess.PIPE,
                stdout=subprocess.PIPE, env=environment, bufsize=0,
                preexec_fn=lambda: os.sched_setaffinity(0, {cpu}))
        except OSError as err:
            raise Failure("not built" if "/bench/" in argv[0] else str(err))
        self.fd = self.process.stdout.fileno()

    def send(self, *words):
        try:
            self.process.stdin.write(
                (" ".join(str(word) for word in words) + "\n").encode())
        except (BrokenPipeError, ValueError):  # ValueError: ended by us
            raise Failure("ended")

    def line(self, patience=PATIENCE):
        while b"\n" not in self.buffer:
            if not select.select([self.fd], [], [], patience)[0]:
                raise Failure("no answer in %d s" % patience)
            chunk = os.read(self.fd, 65536)
            if not chunk:
                raise Failure("ended")
            self.buffer += chunk
        line, self.buffer = self.buffer.split(b"\n", 1)
        return line.decode(errors="replace")

    def answer(self, patience=PATIENCE):
        line = self.line(patience)
        if line.startswith("-"):
            raise Failure(line.strip("- ") or "cannot")
        return line

    def resident(self):
        """Bytes of memory that are its own."""
        with open("/proc/%d/statm" % self.process.pid) as file:
            _, resident, shared = file.read().split()[:3]
        return (int(resident) - int(shared)) * resource.getpagesize()

    def end(self):
        self.process.stdin.close()
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()


class Peer:
    """A server and a client, and the connections between them."""
    paths = 0

    def __init__(self, name, argv, folder):
        self.name, self.argv, self.folder = name, argv, folder
        self.workers = ()
        self.start()

    def start(self):
        self.opened, self.n = None, 0  # family and key; connections
        roles = zip(("server", "client"), processors())
        self.workers = tuple(Worker(self.argv, role, self.folder, cpu)
                             for role, cpu in roles)
        self.server, self.client = self.workers
        lines = [worker.answer() for worker in self.workers]
        self.version, *ways = lines[0].split()[1:]
        self.ways = {}
        for way in ways:
            command, _, names = way.partition(":")
            self.ways[command] = names.split(",") if names else ["-"]

    def end(self):
        for worker in self.workers:
            worker.end()

    def restart(self):
        self.end()
        self.start()

    def both(self, to_server, to_client):
        """The answers to two commands at once. A worker whose partner fails may
        wait for it for ever: both are replaced then."""
        try:
            self.server.send(*to_server)
            self.client.send(*to_client)
            fds = [worker.fd for worker in self.workers]
            first = (select.select(fds, [], [], PATIENCE)[0] or fds)[0]
            answers = {}
            for worker in sorted(self.workers, key=lambda w: w.fd != first):
                answers[worker] = worker.answer()
            return answers[self.server], answers[self.client]
        except Failure:
            self.restart()
            raise

    def open(self, case):
        """So many connections of that family."""
        if case.family is None:
            return
        if self.opened != (case.family, case.key) or self.n > case.connections:
            self.listen(case.family, case.key)
        while self.n < case.connections:  # no more than fit into a backlog
            more = min(100, case.connections - self.n)
            self.both(("accept", more), ("connect", more))
            self.n += more

    def listen(self, family, key):
        if self.opened:
            self.both(("drop",), ("drop",))
        Peer.paths += 1
        path = os.path.join(self.folder, "s%d" % Peer.paths)
        address = path if family == "unix" else 0
        self.server.send("listen", family, address, key)
        answer = self.server.answer()
        self.client.send("target", family,
                         path if family == "unix" else answer, key)
        self.client.answer()
        self.opened, self.n = (family, key), 0

    def run(self, command, way, point, count):
        """What the client answers; without connections, the server."""
        words = (command, way, point, count)
        if command == "codec":
            self.server.send(*words)
            return float(self.server.answer())
        answer = self.both(words, words)[1]
        return None if answer == "ok" else float(answer)


def start_peers(wanted, folder):
    """The peers that are here, and {name: reason} of the others."""
    peers, missing = [], {}
    for name, argv in find_peers(wanted).items():
        try:
            peers.append(Peer(name, argv, folder))
        except Failure as err:
            missing[name] = str(err)
    return peers, missing


def temporary_folder():
    """Short, for it is part of socket addresses."""
    return tempfile.TemporaryDirectory(prefix="bench", dir="/tmp")
