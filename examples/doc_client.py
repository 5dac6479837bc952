"""The client of Python's documentation, for doc_server.lua and doc_server.py.

python3 doc_client.py PATH
"""
import sys
from array import array
from multiprocessing.connection import Client

with Client(sys.argv[1], authkey=b"secret password") as conn:
    print(conn.recv())
    print(conn.recv_bytes())
    arr = array("i", [0, 0, 0, 0, 0])
    print(conn.recv_bytes_into(arr))
    print(arr)
