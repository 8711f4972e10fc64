"""Cancel requests: very many of them, and some that PostgreSQL acts on too early or too late.

It acts between the moment that a request comes and the one at which it closes the request's connection,
and perhaps twice (it signals the backend and its group). A scripted server closes when the test says so.
"""

import os
import subprocess
import unittest

from pooling import Pooling, database, scaled
from postgres import Postgres
from relay import Relay
from scripted_server import ScriptedServer, command_complete, error, one_row, ready
from wire import SYNC, bind, close, execute, frame, parse, query

CANCELS = os.environ["WEIR_CANCELS"]
SEED = 9
CLOSED = close("S", "old")
CANCELLED = error("57014", "canceling statement due to user request")


class CancelTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(ScriptedServer())

    def relay(self, **options):
        self.weir = self.enterContext(Relay(self.server, reactors=1, **options))
        return self.enterContext(self.weir.client())

    def let_weir_see_it(self):
        """Another client's login, on the same reactor: what was sent before has been dealt with."""
        self.weir.client().close()

    def check_held(self, client, session, n_before):
        """What the client sends next waits until the request is over: it would be what is cancelled."""
        client.send(query("select 2"))
        self.let_weir_see_it()
        self.assertEqual(session.letters().count("Q"), n_before)
        self.server.ends_cancels.set()
        session.wait_for("Q", n_before + 1)
        session.send(one_row("2") + ready("I"))
        self.assertEqual(client.answer().value, "2")

    def test_next_query_in_session_mode(self):
        client = self.relay(pool_mode="session")
        session = self.server.session(0)
        client.send(query("select 1"))
        session.wait_for("Q")
        self.server.ends_cancels.clear()
        client.cancel()
        self.server.wait_for_cancels(1)
        session.send(CANCELLED + ready("I"))
        self.assertEqual(client.answer().sqlstate, "57014")
        self.check_held(client, session, 1)

    def test_next_query_in_a_transaction(self):
        client = self.relay()
        session = self.server.session(0)
        client.send(query("begin; select 1"))
        session.wait_for("Q")
        self.server.ends_cancels.clear()
        client.cancel()
        self.server.wait_for_cancels(1)
        session.send(one_row("1") + ready("T"))  # it had ended before
        self.assertEqual(client.answer().status, "T")
        self.check_held(client, session, 1)

    def ask_behind_a_close(self, asked, letters, meanwhile=lambda: None):
        """Drivers close a statement and go on in the same breath: not the Close is to be stopped."""
        busy = self.relay(pipeline_hold=0)
        session = self.server.session(0)
        busy.send(query("select 1"))
        session.wait_for("Q")
        client = self.enterContext(self.weir.client())
        client.send(asked)
        self.let_weir_see_it()
        meanwhile()
        client.cancel()
        self.let_weir_see_it()
        session.send(one_row("1") + ready("I"))
        self.assertEqual(busy.answer().value, "1")
        session.wait_until(lambda: session.letters()[1:] == letters, letters)
        return client, session

    def test_query_held_back_behind_a_close(self):
        """Others wait, and so the client gives the server back at its Sync: no server is needed."""
        waiting = []

        def let_another_wait():
            waiting.append(self.enterContext(self.weir.client()))
            waiting[0].send(query("select 3"))
            self.let_weir_see_it()

        client, session = self.ask_behind_a_close(CLOSED + SYNC + query("select 2"), "CS",
                                                  meanwhile=let_another_wait)
        session.send(frame("3") + ready("I"))
        self.assertEqual(client.answer().errors, [])
        self.assertEqual(client.answer().sqlstate, "57014")
        session.wait_for("Q", 2)
        session.send(one_row("3") + ready("I"))
        self.assertEqual(waiting[0].answer().value, "3")
        self.assertEqual(self.server.cancels, [])

    def test_query_behind_a_close(self):
        client, session = self.ask_behind_a_close(CLOSED + SYNC + query("select 2"), "CSQ")
        self.let_weir_see_it()
        self.assertEqual(self.server.cancels, [])
        session.send(frame("3") + ready("I"))
        self.assertEqual(client.answer().errors, [])
        self.server.wait_for_cancels(1)
        session.send(CANCELLED + ready("I"))
        self.assertEqual(client.answer().sqlstate, "57014")

    def test_batch_behind_a_close(self):
        batch = parse("select 2") + bind() + execute() + SYNC
        client, session = self.ask_behind_a_close(CLOSED + batch, "CPBES")
        self.server.wait_for_cancels(1)
        session.send(frame("3") + frame("1") + frame("2") + CANCELLED + ready("I"))
        self.assertEqual(client.answer().sqlstate, "57014")

    def test_query_while_the_server_is_looked_at(self):
        """The client has its answer already; weir asks what that has left behind."""
        client = self.relay()
        session = self.server.session(0)
        client.send(query("listen news"))
        session.wait_for("Q")
        session.send(command_complete("LISTEN") + ready("I"))
        self.assertEqual(client.answer().errors, [])
        session.wait_until(lambda: len(session.letters()) > 1, "a question")
        client.send(query("select 1"))
        self.let_weir_see_it()
        client.cancel()
        self.let_weir_see_it()
        session.finish()
        self.assertEqual(client.answer().sqlstate, "57014")

    def test_lost_client_whose_query_had_not_begun(self):
        """PostgreSQL ignores a request that comes while the backend waits for a query, even if that is
        on its way already: it is repeated."""
        client = self.relay()
        session = self.server.session(0)
        client.send(query("select pg_sleep(30)"))
        session.wait_for("Q")
        client.reset()
        self.server.wait_for_cancels(2)
        session.send(CANCELLED + ready("I"))
        with self.weir.client() as other:
            other.send(query("select 1"))
            session.wait_for("Q", 2)
            session.send(one_row("1") + ready("I"))
            self.assertEqual(other.answer().value, "1")
        self.assertEqual(self.server.n_open(), 1)


class ManyTest(unittest.TestCase):
    """Clients that cancel their queries of 0 to 2 ms, on the same two servers as clients that do not."""

    def test_only_the_sender_is_hit(self):
        postgres = self.enterContext(Postgres())
        weir = self.enterContext(Pooling([database(postgres)], default_pool_size=2, stats_users="app",
                                         secrets={"app": postgres.passwords["app"]}))
        n = scaled(10000, 1000, 100000)
        conninfo = f"host=127.0.0.1 port={weir.port} user=app dbname=app"
        done = subprocess.run([CANCELS, conninfo, str(n), str(SEED)], capture_output=True, text=True,
                              check=False)
        self.assertEqual((done.returncode, done.stderr), (0, ""), f"seed {SEED}")
        n_sent, n_hit, n_hit_running = map(int, done.stdout.split())
        self.assertEqual(n_sent, n)
        self.assertGreater(n_hit, n_hit_running)
        self.assertGreater(n_hit_running, 0)
        counts = weir.show("reactors")
        self.assertEqual([sum(int(row[name]) for row in counts)
                          for name in ("cancels", "cancels_unknown", "cancels_dropped")], [n, 0, 0])
        print(f"{n} cancel requests, {n_hit} queries ended, {n_hit_running} of them running")


if __name__ == "__main__":
    unittest.main()
