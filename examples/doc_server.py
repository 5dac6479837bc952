"""The listener of Python's documentation: a list, bytes, and an array of ints.

python3 doc_server.py PATH     doc_client.lua and doc_client.py talk to it
"""
import sys
from array import array
from multiprocessing.connection import Listener

with Listener(sys.argv[1], authkey=b"secret password") as listener:
    print("ready", flush=True)
    with listener.accept() as conn:
        conn.send([2.25, None, "junk", float])
        conn.send_bytes(b"hello")
        conn.send_bytes(array("i", [42, 1729]))
