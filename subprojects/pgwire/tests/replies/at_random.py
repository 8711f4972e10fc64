"""Writes sequences at random, without answers: at_random.py SEED NUMBER FILE; record.py adds them."""

import random
import sys

import sequence


class Writer:
    """Writes one sequence. Who derives from it may have words and parts of its own."""

    QUERIES = ["select 1", "select a from generate_series(1, 3) a", "", "select 1; select 2", "select 1/0",
               "select 1; select 1/0; select 2", "selec", "begin", "begin", "commit", "rollback",
               "insert into t values (1)", "insert into u values (1), (1)", "select tell(1)",
               "select count(*) from t", "copy (select 1) to stdout", "savepoint s", "rollback to s",
               "set application_name = 'x'; select 1", "listen a", "notify a", "select fail(1)"]
    STATEMENTS = ["select 1", "select a from generate_series(1, 3) a", "", "select 1/0", "selec",
                  "begin", "commit", "rollback", "insert into t values (1)",
                  "insert into u values (1), (1)", "select tell(a) from generate_series(1, 2) a",
                  "select 3 / (2 - a) from generate_series(1, 3) a", "copy (select 1) to stdout",
                  "select fail(a) from generate_series(1, 2) a"]
    STATEMENT_NAMES = ["", "", "s1", "s2"]
    PORTAL_NAMES = ["", "", "", "p1"]
    TARGETS = ["t", "t", "t", "v", "u", "nowhere"]
    ROWS = ["1\n", "2\n", "1\n2\n", "x\n", "3"]
    CALLS = [["int4inc", "1"], ["int4div", "1", "0"], ["fail", "1"], ["tell", "1"], ["twice", "1"]]
    PARTS = ["query", "batch", "batch", "copy", "copy", "call", "parts", "stray"]

    def __init__(self, rng):
        self.rng = rng
        self.messages = []

    def add(self, *words):
        self.messages.append(list(words))

    def maybe(self, chance, *words):
        while self.rng.random() < chance:
            self.add(*words)

    def query(self):
        self.add("Q", self.rng.choice(self.QUERIES))

    def call(self):
        self.add("F", *self.rng.choice(self.CALLS))

    def batch(self):
        """Mostly in an order that makes sense, mostly with a Sync at its end."""
        name, portal = self.rng.choice(self.STATEMENT_NAMES), self.rng.choice(self.PORTAL_NAMES)
        rows = str(self.rng.choice([0, 0, 0, 1, 2]))
        parts = [("P", name, self.rng.choice(self.STATEMENTS)), ("D", "S", name), ("B", portal, name),
                 ("D", "P", portal), ("E", portal, rows), ("E", portal, rows), ("C", "P", portal),
                 ("C", "S", name)]
        chances = [0.8, 0.3, 0.9, 0.3, 0.9, 0.3, 0.2, 0.2]
        for part, chance in zip(parts, chances):
            if self.rng.random() < chance:
                self.add(*part)
            self.maybe(0.05, "H")
        self.maybe(0.5, "S")

    def parts(self):
        """In no order at all."""
        for _ in range(self.rng.randrange(1, 5)):
            getattr(self, self.rng.choice(["batch", "stray", "sync", "query", "call"]))()

    def sync(self):
        self.add("S")

    def stray(self):
        self.add(*self.rng.choice([["d", "1\n"], ["c"], ["f", "stop"], ["H"]]))

    def copy(self):
        """From the client, by Query or Execute, with Syncs in it and behind it."""
        sql = f"copy {self.rng.choice(self.TARGETS)} from stdin"
        n_copies = self.rng.choice([1, 1, 1, 2])
        if self.rng.random() < 0.5:
            self.add("Q", self.rng.choice(["", "select 1; "]) + "; ".join([sql] * n_copies))
        else:
            self.add("P", "", sql)
            self.add("B")
            self.add("E")
            n_copies = 1
        for _ in range(n_copies):
            self.data()
        self.maybe(0.6, "S")

    def data(self):
        self.maybe(0.4, "S")
        for _ in range(self.rng.randrange(0, 4)):
            self.add("d", self.rng.choice(self.ROWS))
            self.maybe(0.2, "S")
            self.maybe(0.1, "H")
        if self.rng.random() < 0.03:
            self.query()
        self.add(*self.rng.choice([["c"], ["c"], ["c"], ["f", "stop"]]))

    def write(self):
        while len(self.messages) < 6:
            getattr(self, self.rng.choice(self.PARTS))()
        return self.messages


def main(seed, number, path):
    sequences = []
    for i in range(int(number)):
        rng = random.Random(f"{seed} {i}")
        made = sequence.Sequence(f"random {seed}.{i}")
        for message in Writer(rng).write():
            made.add(message)
        # Ends a COPY that is still open, and a COPY behind that.
        made.add(["c"])
        made.add(["c"])
        sequences.append(made)
    comments = [f"# Written by at_random.py, seed {seed}, answered by PostgreSQL 15; record.py and "
                "sequence.py say how to read it."]
    sequence.write(path, comments, sequences)


if __name__ == "__main__":
    main(*sys.argv[1:])
