"""Runs the SQL that comes on stdin, as the sqlite3 shell does: `run_sql.py DB [--stay]`.

With --stay it says "done" and keeps its connection until stdin ends; the SQL then is the last argument.
"""

import sqlite3
import sys


def main():
    stay = len(sys.argv) == 4 and sys.argv[2] == "--stay"
    db = sqlite3.connect(sys.argv[1], timeout=30, isolation_level=None)
    db.executescript(sys.argv[3] if stay else sys.stdin.read())
    if stay:
        print("done", flush=True)
        sys.stdin.read()


main()
