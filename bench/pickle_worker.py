"""CPython's side of bench/pickle: FOLDER of the values; then, a line each on
stdin, VALUE dumps|loads COUNT, which is answered with the seconds it took."""
import os
import pickle
import sys
from time import process_time


def main():
    values = {}
    for name in os.listdir(sys.argv[1]):
        with open(os.path.join(sys.argv[1], name), "rb") as file:
            values[name] = pickle.load(file)
    print("ready %d.%d.%d" % sys.version_info[:3], flush=True)
    for line in sys.stdin:
        name, what, count = line.split()
        turns = range(int(count))
        value = values[name]
        if what == "dumps":
            dumps = pickle.dumps
            start = process_time()
            for _ in turns:
                dumps(value, 4)
        else:
            loads, data = pickle.loads, pickle.dumps(value, 4)
            start = process_time()
            for _ in turns:
                loads(data)
        print(process_time() - start, flush=True)


main()
