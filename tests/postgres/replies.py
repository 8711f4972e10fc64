"""Asks a real PostgreSQL whether it still answers as the recordings say that reply accounting is
tested with: replies.py FOLDER, which holds the recordings and the recorder. With --record before the
folder its answers are written into the recordings instead.
"""

import glob
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from postgres import Postgres, binary

SKIPPED = 77


def main(words):
    must_record = words[0] == "--record"
    folder = words[must_record]
    sys.path.insert(0, folder)
    import record
    try:
        binary("postgres")
    except FileNotFoundError as why:
        print(f"skipped: {why}")
        return SKIPPED
    recordings = sorted(glob.glob(os.path.join(folder, "*.txt")))
    if not recordings:
        print(f"no recordings in {folder}")
        return 1
    with Postgres() as postgres:
        where = {"folder": postgres.folder, "port": postgres.port, "user": "app", "database": "app",
                 "password": postgres.passwords["app"]}
        play = record.record_all if must_record else record.check_all
        return 0 if play(where, recordings) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
