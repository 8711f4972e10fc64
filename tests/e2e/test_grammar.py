"""Conversations at random, with PostgreSQL itself and through weir: the answers are the same, whichever
servers come next and whatever others have done to them.

Several are held at a time, each in a database of its own, which has two servers. One that fails is
named by its seed, and printed.
"""

import threading
import unittest

import sequence
from differential import Server, Undecided, play
from grammar import conversation
from pooling import scaled
from postgres import Postgres
from relay import SHARE, SOAK, Relay
from steps import Servers

SEED = 7
N_AT_A_TIME = 4

postgres = None
originals = None  # its databases, one for each conversation at a time


def setUpModule():
    global postgres, originals
    postgres = unittest.enterModuleContext(Postgres(autovacuum="off"))
    for number in range(N_AT_A_TIME):
        postgres.psql(f"create database app{number} owner app", "postgres", "postgres")
    originals = [Server(postgres, f"app{number}") for number in range(N_AT_A_TIME)]


def text_of(sends):
    """As it stands in a file of sequences, an empty line between two sends."""
    return "\n\n".join("\n".join(" ".join(map(sequence.quoted, message)) for message in send) for send in sends)


class Talker(threading.Thread):
    """Holds one conversation after the other in one database, until one has failed."""

    def __init__(self, weir, original, seeds):
        super().__init__()
        self.weir, self.original, self.seeds = weir, original, seeds
        self.database = original.where["database"]
        self.n_undecided, self.failure = 0, None

    def run(self):
        try:
            with Servers(self.weir, self.database) as self.servers:
                for seed in self.seeds:
                    self.hold(seed, *conversation(seed))
        except Exception as error:  # told by the test
            self.failure = self.failure or repr(error)

    def hold(self, seed, sends, settings):
        try:
            steps = self.original.hold(sends, settings)
            with self.weir.client(self.database, **settings) as client:
                play(self.original, client, steps, other=self.change)
        except Undecided:
            self.n_undecided += 1
        except Exception as error:
            self.failure = f"seed {seed}, {settings}: {error!r}\n{text_of(sends)[:5000]}"
            raise

    def change(self, status):
        if status == "I":
            self.servers.change()


class GrammarTest(unittest.TestCase):
    def check(self, n, **keys):
        with Relay(postgres, **{"pool_size": 2, "reactors": 2} | keys) as weir:
            talkers = [Talker(weir, original, [f"{SEED} {i}" for i in range(number, n, N_AT_A_TIME)])
                       for number, original in enumerate(originals)]
            for talker in talkers:
                talker.start()
            for talker in talkers:
                talker.join()
        for talker in talkers:
            if talker.failure is not None:
                self.fail(talker.failure)
        self.assertLessEqual(sum(talker.n_undecided for talker in talkers), 2 + n / 50)

    def test_transactions(self):
        for room in (1, 3, 200) if SOAK else (3,):
            self.check(scaled(1000, 300, 50000) // SHARE, max_prepared_statements=room)

    def test_sessions(self):
        """The third server is the client's, for each conversation anew. Not more of them: behind a RESET
        in the same send a session has its server's defaults."""
        self.check(200 // SHARE, pool_mode="session", pool_size=3)


if __name__ == "__main__":
    unittest.main()
