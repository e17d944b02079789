"""A workload of which every committed prefix can be recognised.

Every commit appends one link to a hash chain and changes accounts and blobs as that link's hash says, so the whole
database is a function of the chain. `check` plays the chain again and compares: it accepts a database if and only if
it is the state after some commit, and prints the number of that commit.

    chain.py init DB [--page-size N]
    chain.py write DB --writer N (--seconds S | --commits N) [--autocheckpoint N] [--checkpoints] [--readers] ...
    chain.py check DB
    chain.py within DB OTHER...   fails unless the chain of DB is the beginning of the chain of one of the others
"""

import argparse
import array
import hashlib
import json
import os
import random
import sqlite3
import sys
import time

ACCOUNTS, OPENING_BALANCE, SLOTS = 20, 1000, 64


def connect(path, busy_timeout=30):
    return sqlite3.connect(path, timeout=busy_timeout, isolation_level=None)


def init(path, page_size):
    db = connect(path)
    db.executescript(f"""
        PRAGMA page_size = {page_size};
        PRAGMA journal_mode = wal;
        CREATE TABLE chain (n INTEGER PRIMARY KEY, writer INTEGER NOT NULL, hash TEXT NOT NULL);
        CREATE UNIQUE INDEX chain_hash ON chain (hash);
        CREATE TABLE account (id INTEGER PRIMARY KEY, balance INTEGER NOT NULL);
        CREATE TABLE blob (id INTEGER PRIMARY KEY, v BLOB NOT NULL);
        INSERT INTO chain VALUES (0, 0, '{"0" * 64}');
    """)
    db.executemany("INSERT INTO account VALUES (?, ?)", [(a, OPENING_BALANCE) for a in range(ACCOUNTS)])
    db.close()


def link(before, n, writer):
    return hashlib.sha256(f"{before} {n} {writer}".encode()).hexdigest()


def effects(hash):
    """What the commit with this hash does: a transfer, and a blob that is set, or removed if it is None."""
    word = [int(hash[at:at + 4], 16) for at in range(0, 32, 4)]
    size = 100_000 if word[5] % 97 == 0 else word[5] % 6_000
    blob = None if word[4] % 8 == 0 else (bytes.fromhex(hash) * (size // 32 + 1))[:size]
    return word[0] % ACCOUNTS, word[1] % ACCOUNTS, word[2] % 50, word[3] % SLOTS, blob


class Waits:
    """How long the write lock was waited for, each time; a refusal is counted, and it is waited for again."""

    def __init__(self):
        self.seconds, self.refused = array.array("d"), 0

    def begin(self, db):
        since = time.monotonic()
        while True:
            try:
                db.execute("BEGIN IMMEDIATE")
                break
            except sqlite3.OperationalError as error:
                if str(error) != "database is locked":
                    raise
                self.refused += 1
        self.seconds.append(time.monotonic() - since)

    def report(self):
        times = sorted(self.seconds) or [0]
        at = lambda share: int(1e6 * times[min(int(len(times) * share), len(times) - 1)])
        told = {"p50_us": at(0.5), "p999_us": at(0.999), "max_us": at(1)}
        return json.dumps({"count": len(self.seconds), "refused": self.refused, **told})


def commit(db, writer, waits=None, ballast=0):
    if waits:
        waits.begin(db)
    else:
        db.execute("BEGIN IMMEDIATE")
    n, before = db.execute("SELECT n, hash FROM chain ORDER BY n DESC LIMIT 1").fetchone()
    hash = link(before, n + 1, writer)
    source, target, amount, slot, blob = effects(hash)
    db.execute("INSERT INTO chain VALUES (?, ?, ?)", (n + 1, writer, hash))
    if ballast:
        db.execute("INSERT INTO ballast VALUES (randomblob(?))", (ballast,))
    db.execute("UPDATE account SET balance = balance - ? WHERE id = ?", (amount, source))
    db.execute("UPDATE account SET balance = balance + ? WHERE id = ?", (amount, target))
    if blob is None:
        db.execute("DELETE FROM blob WHERE id = ?", (slot,))
    else:
        db.execute("INSERT OR REPLACE INTO blob VALUES (?, ?)", (slot, blob))
    db.execute("COMMIT")


def write(options):
    db, reader = connect(options.path, options.busy_timeout), connect(options.path, options.busy_timeout)
    waits = Waits() if options.waits else None
    db.execute(f"PRAGMA wal_autocheckpoint = {options.autocheckpoint}")
    db.execute(f"PRAGMA synchronous = {options.synchronous}")
    chance = random.Random(options.writer)
    # Checkpoints and readers are this process's own trouble: it must not wait for itself for long.
    checkpointer = sqlite3.connect(options.path, timeout=options.patience or 0.05, isolation_level=None)
    if options.fork:
        # The connections above are the parent's: the child lets them be, and opens its own.
        child = os.fork()
        if child == 0:
            db = connect(options.path)
            db.execute(f"PRAGMA wal_autocheckpoint = {options.autocheckpoint}")
            for _ in range(options.commits):
                commit(db, options.writer + 1000)
                time.sleep(options.pause)
            os._exit(0)
    if options.ballast:
        db.execute("CREATE TABLE IF NOT EXISTS ballast (v BLOB)")
    print("ready", flush=True)
    end = time.monotonic() + options.seconds
    reading, switch_at, done = False, 0, 0
    while done < options.commits and time.monotonic() < end and not os.path.exists(options.until):
        commit(db, options.writer, waits, options.ballast)
        done += 1
        if options.pause:
            time.sleep(options.pause)
        if options.checkpoints and chance.random() < (0.3 if options.patience else 0.05):
            mode = chance.choice(["PASSIVE", "FULL", "RESTART", "TRUNCATE"])
            (busy, _, _), = checkpointer.execute(f"PRAGMA wal_checkpoint({mode})").fetchall()
            if busy and options.patience and mode != "PASSIVE":
                sys.exit(f"{mode} was kept waiting for {options.patience} s")
        if options.readers and time.monotonic() > switch_at:
            reader.execute("ROLLBACK" if reading else "BEGIN")
            reading = not reading
            if reading:
                reader.execute("SELECT count(*) FROM chain").fetchall()
            switch_at = time.monotonic() + chance.uniform(0.05, 0.5)
    if options.fork:
        os.waitpid(child, 0)
    print(f"commits {done}", flush=True)
    if waits:
        print(waits.report(), flush=True)
    if options.stay:
        sys.stdin.read()


def check(path):
    db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
    verdict = db.execute("PRAGMA integrity_check").fetchall()
    if verdict != [("ok",)]:
        sys.exit(f"integrity_check: {verdict}")
    accounts, blobs, before, last = [OPENING_BALANCE] * ACCOUNTS, {}, None, -1
    for n, writer, hash in db.execute("SELECT n, writer, hash FROM chain ORDER BY n"):
        if n != last + 1 or (before is not None and hash != link(before, n, writer)):
            sys.exit(f"the chain is broken at link {n}")
        before, last = hash, n
        if n == 0:
            continue
        source, target, amount, slot, blob = effects(hash)
        accounts[source] -= amount
        accounts[target] += amount
        blobs[slot] = blob
    if db.execute("SELECT balance FROM account ORDER BY id").fetchall() != [(b,) for b in accounts]:
        sys.exit(f"the accounts are not those after link {last}")
    if dict(db.execute("SELECT id, v FROM blob")) != {slot: blob for slot, blob in blobs.items() if blob is not None}:
        sys.exit(f"the blobs are not those after link {last}")
    print(last)


def within(path, others):
    def links(path):
        db = sqlite3.connect(f"file:{path}?immutable=1", uri=True)
        return db.execute("SELECT n, writer, hash FROM chain ORDER BY n").fetchall()
    chain = links(path)
    if not any(links(other)[:len(chain)] == chain for other in others):
        sys.exit("it is the beginning of none of the others")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("command", choices=["init", "write", "check", "within"])
    parser.add_argument("path")
    parser.add_argument("others", nargs="*")
    parser.add_argument("--page-size", type=int, default=4096)
    parser.add_argument("--writer", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=1e9)
    parser.add_argument("--until", default="", help="a file: write until it exists")
    parser.add_argument("--commits", type=int, default=10**9)
    parser.add_argument("--pause", type=float, default=0)
    parser.add_argument("--busy-timeout", type=float, default=30, help="seconds")
    parser.add_argument("--waits", action="store_true", help="go on after a refusal, and tell what was waited for")
    parser.add_argument("--ballast", type=int, default=0, help="bytes that each commit adds")
    parser.add_argument("--autocheckpoint", type=int, default=1000)
    parser.add_argument("--synchronous", default="NORMAL")
    parser.add_argument("--checkpoints", action="store_true")
    parser.add_argument("--patience", type=float, help="how long checkpoints wait, which then must succeed")
    parser.add_argument("--readers", action="store_true")
    parser.add_argument("--fork", action="store_true", help="a child process commits as often")
    parser.add_argument("--stay", action="store_true", help="keep the connections until stdin ends")
    options = parser.parse_args()
    if options.command == "init":
        init(options.path, options.page_size)
    elif options.command == "write":
        write(options)
    elif options.command == "within":
        within(options.path, options.others)
    else:
        check(options.path)


main()
