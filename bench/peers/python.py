"""CPython's multiprocessing.connection, any version from 3.6 on."""
import gc
import os
import pickle
import selectors
import sys
from multiprocessing.connection import Client, Listener, wait
from time import perf_counter, process_time

ROLE, FOLDER = sys.argv[1:3]
MESSAGE = b"m" * 64


class Peer:
    def __init__(self):
        self.listener = self.address = self.key = None
        self.connections = []
        self.values = {}

    def value(self, name):
        if name not in self.values:
            with open(os.path.join(FOLDER, name), "rb") as file:
                self.values[name] = pickle.load(file)
        return self.values[name]

    def set_address(self, family, address, key):
        self.address = address if family == "unix" else ("127.0.0.1", int(address))
        self.key = None if key == "-" else key.encode()

    def drop(self):
        for conn in self.connections:
            conn.close()
        if self.listener:
            self.listener.close()
        self.listener, self.connections = None, []

    def codec(self, way, name, count):
        dumps, loads, value = pickle.dumps, pickle.loads, self.value(name)
        data = dumps(value, 4)
        start = process_time()
        if way == "dumps":
            for _ in range(count):
                dumps(value, 4)
        else:
            for _ in range(count):
                loads(data)
        return process_time() - start


def echo(conn):
    conn.send_bytes(conn.recv_bytes())


def ask(conn, message=MESSAGE):
    conn.send_bytes(message)
    conn.recv_bytes()


class Server(Peer):
    def listen(self, family, address, key):
        self.set_address(family, address, key)
        self.listener = Listener(self.address, backlog=128, authkey=self.key)
        bound = self.listener.address
        return bound if family == "unix" else bound[1]

    def accept(self, n):
        for _ in range(int(n)):
            self.connections.append(self.listener.accept())

    def w1(self, way, size, count):
        conn = self.connections[0]
        for _ in range(count + 1):
            echo(conn)

    def w2(self, way, size, count):
        conn = self.connections[0]
        echo(conn)
        if way == "recv_bytes":
            for _ in range(count):
                conn.recv_bytes()
        else:
            room = bytearray(max(int(size), 1))
            for _ in range(count):
                conn.recv_bytes_into(room)
        conn.send_bytes(b"")

    def serve_wait(self, count):
        while count > 0:
            for conn in wait(self.connections):
                echo(conn)
                count -= 1

    def serve_selector(self, count):
        with selectors.EpollSelector() as selector:
            for conn in self.connections:
                selector.register(conn, selectors.EVENT_READ)
            while count > 0:
                for key, _ in selector.select():
                    echo(key.fileobj)
                    count -= 1

    def serve(self, way, count):
        (self.serve_wait if way == "wait" else self.serve_selector)(count)

    def w3(self, way, size, count):
        self.serve(way, count + 1)

    def look(self, way, size, count):
        self.connections[len(self.connections) // 2].send_bytes(MESSAGE)

    def w7(self, way, size, count):
        n = len(self.connections)
        self.serve(way, (count // n + 1) * n + 1)

    def w4(self, way, name, count):
        conn = self.connections[0]
        for _ in range(count + 1):
            conn.send(conn.recv())

    def w5(self, way, family, count):
        for _ in range(count):
            self.listener.accept().close()

    def w6(self, way, _, count):
        for _ in range(count):
            conn = self.listener.accept()
            self.connections.append(conn)
            echo(conn)
        gc.collect()


class Asker(Peer):
    def target(self, family, address, key):
        self.set_address(family, address, key)

    def open(self):
        return Client(self.address, authkey=self.key)

    def connect(self, n):
        for _ in range(int(n)):
            self.connections.append(self.open())

    def w1(self, way, size, count):
        conn, message = self.connections[0], b"m" * int(size)
        ask(conn, message)
        start = perf_counter()
        for _ in range(count):
            ask(conn, message)
        return perf_counter() - start

    def w2(self, way, size, count):
        conn, message = self.connections[0], b"m" * int(size)
        ask(conn, message)
        start = perf_counter()
        for _ in range(count):
            conn.send_bytes(message)
        conn.recv_bytes()
        return perf_counter() - start

    def w3(self, way, size, count):
        at, n = 0, len(self.connections)
        ask(self.connections[0])
        start = perf_counter()
        for _ in range(count):
            at = (at + 7919) % n
            ask(self.connections[at])
        return perf_counter() - start

    def look(self, way, size, count):
        middle = self.connections[len(self.connections) // 2]
        with selectors.EpollSelector() as selector:
            for conn in self.connections:
                selector.register(conn, selectors.EVENT_READ)
            find = selector.select if way == "EpollSelector" else (
                lambda: wait(self.connections))
            find()
            start = perf_counter()
            for _ in range(count):
                find()
            taken = perf_counter() - start
        middle.recv_bytes()
        return taken

    def w7(self, way, size, count):
        n = len(self.connections)
        turns = count // n + 1
        ask(self.connections[0])
        start = perf_counter()
        for _ in range(turns):
            for conn in self.connections:
                conn.send_bytes(MESSAGE)
            for conn in self.connections:
                conn.recv_bytes()
        return (perf_counter() - start) / (turns * n) * count

    def w4(self, way, name, count):
        conn, value = self.connections[0], self.value(name)
        conn.send(value)
        conn.recv()
        start = perf_counter()
        for _ in range(count):
            conn.send(value)
            conn.recv()
        return perf_counter() - start

    def w5(self, way, family, count):
        start = perf_counter()
        for _ in range(count):
            self.open().close()
        return perf_counter() - start

    def w6(self, way, _, count):
        for _ in range(count):
            conn = self.open()
            self.connections.append(conn)
            ask(conn)


def main():
    peer = Server() if ROLE == "server" else Asker()
    print("ready %d.%d.%d" % sys.version_info[:3],
          "w1 w2:recv_bytes,recv_bytes_into w3:wait,EpollSelector look:wait,EpollSelector w4 w5 w6",
          "w7:wait,EpollSelector codec:dumps,loads", flush=True)
    for line in sys.stdin:
        command, *words = line.split()
        if len(words) == 3 and words[2].isdigit():
            words[2] = int(words[2])
        try:
            answer = getattr(peer, command)(*words)
        except Exception as err:
            answer = "- %s: %s" % (type(err).__name__, err)
        print("ok" if answer is None else answer, flush=True)


main()
