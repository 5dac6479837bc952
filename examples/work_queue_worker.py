"""One worker for work_queue.lua.

python3 work_queue_worker.py PATH
"""
import sys
from multiprocessing.connection import Client

with Client(sys.argv[1]) as queue:
    try:
        while True:
            queue.send(queue.recv() ** 2)
    except EOFError:
        pass
