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


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres(autovacuum="off"))
    for number in range(N_AT_A_TIME):
        postgres.psql(f"create database app{number} owner app", "postgres", "postgres")


def text_of(sends):
    """As it stands in a file of sequences, an empty line between two sends."""
    return "\n\n".join("\n".join(" ".join(map(sequence.quoted, message)) for message in send) for send in sends)


class Talker(threading.Thread):
    """Holds one conversation after the other in one database, until one has failed."""

    def __init__(self, weir, database, seeds):
        super().__init__()
        self.weir, self.database, self.seeds = weir, database, seeds
        self.n_undecided, self.failure = 0, None

    def run(self):
        server = Server(postgres, self.database)
        with Servers(self.weir, self.database) as self.servers:
            for seed in self.seeds:
                sends, settings = conversation(seed)
                try:
                    self.hold(server, server.hold(sends, settings), settings)
                except Undecided:
                    self.n_undecided += 1
                except Exception as error:  # told by the test
                    self.failure = f"seed {seed}, {settings}: {error!r}\n{text_of(sends)[:5000]}"
                    return

    def hold(self, server, steps, settings):
        with self.weir.client(self.database, **settings) as client:
            play(server, client, steps, other=self.change)

    def change(self, status):
        if status == "I":
            self.servers.change()


class GrammarTest(unittest.TestCase):
    def check(self, n, room):
        """n conversations, on servers with room for so many prepared statements."""
        with Relay(postgres, pool_size=2, reactors=2, max_prepared_statements=room) as weir:
            talkers = [Talker(weir, f"app{number}", [f"{SEED} {i}" for i in range(number, n, N_AT_A_TIME)])
                       for number in range(N_AT_A_TIME)]
            for talker in talkers:
                talker.start()
            for talker in talkers:
                talker.join()
        for talker in talkers:
            if talker.failure is not None:
                self.fail(talker.failure)
        self.assertLessEqual(sum(talker.n_undecided for talker in talkers), 2 + n / 50)

    def test_same_answers(self):
        for room in (1, 3, 200) if SOAK else (3,):
            self.check(scaled(1000, 300, 15000) // SHARE, room)


if __name__ == "__main__":
    unittest.main()
