"""Sends some messages to demo_server.lua and prints the answers."""
import signal
import sys
from multiprocessing.connection import Client

signal.alarm(20)  # a demo that hangs is no demo

with Client(sys.argv[1], authkey=b"secret password") as conn:
    for message in b"hello from python", b"is anybody there?":
        conn.send_bytes(message)
        answer = conn.recv_bytes()
        print("    sent %r, received %r" % (message, answer))
        if answer != message.upper():
            sys.exit("that is not the message in capitals")
