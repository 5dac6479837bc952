"""One writer for doc_fan_in.lua or doc_fan_in.py.

python3 doc_fan_in_writer.py PATH NAME
"""
import sys
from multiprocessing.connection import Client

with Client(sys.argv[1]) as conn:
    for i in range(10):
        conn.send((i, sys.argv[2]))
