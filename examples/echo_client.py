"""Sends each line of its input to echo_server.lua and prints the answers.

python3 echo_client.py PATH          python3 echo_client.py HOST PORT
"""
import os
import sys
from multiprocessing.connection import Client

address = sys.argv[1] if len(sys.argv) == 2 else (sys.argv[1], int(sys.argv[2]))
key = os.environ.get("ECHO_KEY", "secret password").encode()

with Client(address, authkey=key) as conn:
    for line in sys.stdin:
        conn.send_bytes(line.rstrip("\n").encode())
        print(conn.recv_bytes().decode(), flush=True)
