"""A stop with clients in every state: nobody new comes, transactions end first, nothing is left."""

import contextlib
import os
import random
import signal
import threading
import unittest

from process import wait_until
from relay import SOAK, Relay
from scripted_server import ScriptedServer, command_complete, one_row, ready
from wire import Client, ServerError, query

SEED = 20260125
GONE = ("57P01", "weir is shutting down")


def answer(session, message):
    """Knows transactions, and is silent when asked to be."""
    if message.letter != "Q" or b"silence" in message.body:
        return b""
    if b"begin" in message.body:
        return command_complete("BEGIN") + ready("T")
    return one_row("1") + ready("I")


def last_words(client):
    """The error at the end of a connection."""
    *_, last = client.read_to_end()
    fields = last.fields()
    return fields["C"], fields["M"]


class StopTest(unittest.TestCase):
    def start(self, **keys):
        server = self.enterContext(ScriptedServer(answer))
        return server, self.enterContext(Relay(server, unix_socket_dir=".", reactors=2, **keys))

    def assert_closed(self, weir):
        """Nobody can come any more; once the log says that the stop has begun, reactor 0 is told."""
        weir.process.wait_for("stopping signal=")
        with self.assertRaises((ConnectionRefusedError, ConnectionResetError, EOFError)):
            while True:
                weir.client().close()
        wait_until(lambda: not os.path.exists(f"{weir.folder}/.s.PGSQL.{weir.address[1]}"))

    def assert_ended(self, server, weir):
        self.assertEqual(weir.process.wait(), 0)
        self.assertIn("control: stopped", weir.process.output())
        for session in server.sessions:
            session.wait_until_ended()

    def test_idle_clients_are_told(self):
        server, weir = self.start(pool_size=2)
        with weir.client() as fresh, weir.client() as used, weir.connect() as silent:
            self.assertEqual(used.value("select 1"), "1")
            weir.process.send(signal.SIGTERM)
            self.assertEqual(last_words(fresh), GONE)
            self.assertEqual(last_words(used), GONE)
            self.assertEqual(silent.read_to_end(), [])
            self.assert_ended(server, weir)
        self.assertEqual(server.session(0).letters()[-1], "X")

    def test_a_transaction_ends_first(self):
        server, weir = self.start()
        with weir.client() as working, weir.client() as waiting:
            working.query("begin")
            waiting.send(query("select 2"))
            weir.process.send(signal.SIGTERM)
            self.assert_closed(weir)
            self.assertEqual(working.query("select 1 again").status, "I")
            self.assertEqual(last_words(working), GONE)
            self.assertEqual(last_words(waiting), GONE)
            self.assert_ended(server, weir)

    def test_timeout(self):
        server, weir = self.start(shutdown_timeout="300ms")
        with weir.client() as working:
            working.query("begin")
            weir.process.send(signal.SIGTERM)
            self.assertEqual(weir.process.wait(), 0)
            self.assertIn("shutdown_timeout has passed", weir.process.output())
            self.assertEqual(working.read_to_end(), [])
            server.session(0).wait_until_ended()

    def test_signals_that_do_not_wait(self):
        for signals in ((signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM), (signal.SIGQUIT,)):
            with self.subTest(signals):
                server, weir = self.start(shutdown_timeout=0)
                with weir.client() as working:
                    working.query("begin")
                    working.send(query("silence"))
                    server.session(0).wait_for("Q", 2)
                    for signum in signals:
                        weir.process.send(signum)
                        if len(signals) > 1:
                            weir.process.wait_for("stopping")
                    self.assertEqual(weir.process.wait(), 0)
                    self.assertEqual(working.read_to_end(), [])

    def test_burst_of_clients_during_a_stop(self):
        """Whoever comes while the reactors stop one after the other is refused or told."""
        for _ in range(10):
            server, weir = self.start(pool_size=4)
            with contextlib.ExitStack() as clients, contextlib.suppress(ConnectionRefusedError, ConnectionResetError):
                for number in range(60):
                    if number == 30:
                        weir.process.send(signal.SIGTERM)
                    clients.enter_context(Client(weir.address))
            self.assert_ended(server, weir)

    def test_while_clients_come_and_go(self):
        """In whatever state a stop finds them, the console's included: it ends soon, and nothing leaks."""
        rng = random.Random(SEED)
        for number in range(40 if SOAK else 4):
            server, weir = self.start(pool_size=rng.choice((1, 2, 8)), pool_mode=rng.choice(("session", "transaction")),
                                      admin_users="app")
            stopping = threading.Event()
            crowd = [threading.Thread(target=come_and_go, args=(weir, stopping, random.Random(rng.random())))
                     for _ in range(6)]
            for thread in crowd:
                thread.start()
            server.session(rng.randrange(3))
            weir.process.send(signal.SIGTERM)
            try:
                self.assert_ended(server, weir)
            except AssertionError as error:
                raise AssertionError(f"seed {SEED}, round {number}:\n{weir.process.output()}") from error
            finally:
                stopping.set()
                for thread in crowd:
                    thread.join()


def come_and_go(weir, stopping, rng):
    """Logs in, asks some things, reads some of the answers and leaves, over and over."""
    while not stopping.is_set():
        with contextlib.suppress(OSError, EOFError, ServerError), weir.connect() as client:
            client.log_in("app", rng.choice(("app", "other", "weir")))
            for _ in range(rng.randrange(4)):
                client.send(query(rng.choice(("select 1", "begin", "silence", "show pools", "show clients"))))
                if rng.random() < 0.5:
                    client.answer(timeout=0.05)
            if rng.random() < 0.5:
                client.reset()


if __name__ == "__main__":
    unittest.main()
