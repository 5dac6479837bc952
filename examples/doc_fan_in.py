"""The fan-in of Python's documentation: four writers, whose messages are read
with wait in the order in which they come.

python3 doc_fan_in.py PATH     four of doc_fan_in_writer.lua or .py join
"""
import sys
from multiprocessing.connection import Listener, wait

with Listener(sys.argv[1], backlog=4) as listener:
    print("ready", flush=True)
    readers = [listener.accept() for _ in range(4)]

while readers:
    for r in wait(readers):
        try:
            msg = r.recv()
        except EOFError:
            readers.remove(r)
        else:
            print(msg)
