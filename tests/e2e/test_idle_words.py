"""Servers that speak while nobody uses them.

What is idle is looked at when somebody takes it, unless it was used within the last millisecond. So a
test that wants its words to be found waits until a client that came later has been answered.
"""

import random
import struct
import threading
import time
import unittest
import unittest.mock

import scripted_server
from message import frame, string
from pooling import scaled
from relay import REACTORS, Relay
from scripted_server import (ScriptedServer, answer_with_number, command_complete, data_row, error, one_row, ready,
                             row_description)
from wire import ServerError, query

SEED = 11
SOON_S = 5  # a client that is stuck is so for longer
NOTIFICATION = frame("A", struct.pack("!I", 77) + string("c") + string("hello"))


def notice(text):
    fields = {"S": "NOTICE", "V": "NOTICE", "C": "00000", "M": text}
    return frame("N", b"".join(string(name + field) for name, field in fields.items()) + b"\0")


NOTICE = notice("nobody asked")


class IdleTest(unittest.TestCase):
    def setUp(self):
        self.server = self.enterContext(ScriptedServer(answer_with_number))
        self.weir = self.enterContext(Relay(self.server, reactors=REACTORS, pool_size=1))

    def ask(self, client):
        """The number of the session that answered, and the letters of what came."""
        answer = client.query("select 1")
        return int(answer.value), "".join(message.letter for message in answer.messages)

    def say(self, number, words):
        """While this session is idle, and has been for longer than weir trusts it."""
        time.sleep(0.002)  # that millisecond itself: nothing tells when it is over
        self.server.session(number).send(words)

    def check_kept(self, client, words):
        self.say(0, words)
        self.assertEqual(self.ask(client), (0, "TDCZ"))

    def test_dropped(self):
        """S003-1, S003-2: a notice, a notification, both, and many."""
        with self.weir.client() as first, self.weir.client() as second:
            self.ask(first)
            for words in (NOTICE, NOTIFICATION, NOTICE + NOTIFICATION, NOTICE * 100):
                for client in (second, first):
                    with self.subTest(words=words[:20]):
                        self.check_kept(client, words)
        self.assertEqual(self.weir.show("pools")[0]["idle_words"], str(2 * (1 + 1 + 2 + 100)))
        self.assertEqual(len(self.server.sessions), 1)
        self.weir.process.wait_for('letter=N sqlstate=00000 message="nobody asked" last_client=c')

    def test_many_times(self):
        with self.weir.client() as client:
            self.ask(client)
            for _ in range(scaled(100, 50, 1000)):
                self.check_kept(client, NOTICE)

    def test_rest_comes_later(self):
        """S003-4: the half of a message is left where it is until somebody comes, and costs nothing."""
        with self.weir.client() as client:
            self.ask(client)
            self.say(0, NOTICE * 100 + NOTICE[:3])
            turns = self.n_turns()
            self.server.session(0).send(NOTICE[3:])
            self.assertLess(self.n_turns() - turns, 20)
            self.assertEqual(self.ask(client), (0, "TDCZ"))

    def n_turns(self):
        return sum(int(row["turns"]) for row in self.weir.show("reactors"))

    def test_half_a_message(self):
        """Or nobody has seen the rest: then another server answers."""
        for n in (1, 3, 5, len(NOTICE) - 1):
            with self.subTest(n=n), self.weir.client() as client:
                number, _ = self.ask(client)
                self.say(number, NOTICE + NOTICE[:n])
                self.assertEqual(self.ask(client), (number + 1, "TDCZ"))
        self.weir.process.wait_for('why="half a message while idle"')

    def test_last_words(self):
        """S003-3: never given out again."""
        last_words = error("57P01", "terminating connection due to administrator command", "FATAL")
        with self.weir.client() as client:
            self.ask(client)
            time.sleep(0.002)
            self.server.session(0).finish(last_words)
            self.assertEqual(self.ask(client), (1, "TDCZ"))
        self.assertEqual(self.server.session(0).letters().count("Q"), 1)
        self.weir.process.wait_for("letter=E sqlstate=57P01")

    def test_out_of_turn(self):
        for words in (ready("I"), command_complete("SELECT 1"), b"HTTP/1.1 400 Bad Request\r\n\r\n"):
            with self.subTest(words=words), self.weir.client() as client:
                number, _ = self.ask(client)
                self.say(number, words)
                self.assertEqual(self.ask(client), (number + 1, "TDCZ"))

    def test_changed_parameter(self):
        """S003-3: who is there is told by its next answer, who comes then by its greeting."""
        zone = frame("S", string("TimeZone") + string("Asia/Tokyo"))
        with self.weir.client() as client:
            self.ask(client)
            self.assertEqual(client.parameters["TimeZone"], "UTC")
            self.enterContext(unittest.mock.patch.dict(scripted_server.PARAMETERS, {"TimeZone": "Asia/Tokyo"}))
            self.say(0, zone)
            answer = client.query("select 1")
            self.assertEqual(answer.value, "1")
            self.assertIn(zone[5:], [message.body for message in answer.messages if message.letter == "S"])
            with self.weir.client() as second:
                self.assertEqual(second.parameters["TimeZone"], "Asia/Tokyo")
                self.assertEqual(self.ask(second), (1, "TDCZ"))
        self.weir.process.wait_for('why="a parameter has changed"')


class AnswerTest(unittest.TestCase):
    """S003-5: within an answer they keep their place, wherever it is cut."""

    ANSWER = (notice("one"), row_description("value"), data_row("x"), NOTIFICATION, notice("two"),
              command_complete("SELECT 1"), ready("I"))

    def test_every_cut(self):
        self.check("session", self.ANSWER)

    def test_notifications_of_nobody(self):
        """Who has not listened in this transaction is notified of nothing."""
        self.check("transaction", tuple(message for message in self.ANSWER if message is not NOTIFICATION))

    def check(self, pool_mode, expected):
        server = self.enterContext(ScriptedServer())
        weir = self.enterContext(Relay(server, reactors=REACTORS, pool_mode=pool_mode, reset="never"))
        client = self.enterContext(weir.client())
        whole = b"".join(self.ANSWER)
        ends = [sum(map(len, self.ANSWER[:n + 1])) for n in range(len(self.ANSWER))]
        for n, at in enumerate(range(0, len(whole), scaled(3, 9, 1))):
            client.send(query("select 1"))
            session = server.session(0)
            session.wait_for("Q", n + 1)
            session.send(whole[:at])
            came = [client.read() for end, message in zip(ends, self.ANSWER)  # all but the cut one
                    if end <= at and message in expected]
            session.send(whole[at:])
            came += client.read_until("Z")
            self.assertEqual([frame(message.letter, message.body) for message in came], list(expected),
                             f"cut at {at}")


class HandOverTest(unittest.TestCase):
    """S003-6: at the moment when a server is taken, given back, or moved to the other reactor."""

    N_CLIENTS = 6

    def test_at_random(self):
        server = self.enterContext(ScriptedServer(self.answer))
        weir = self.enterContext(Relay(server, reactors=2, pool_size=2))
        n = scaled(300, 200, 10000)
        clients = [self.enterContext(weir.client()) for _ in range(self.N_CLIENTS)]
        failures = []
        threads = [threading.Thread(target=self.work, args=(server, clients[i], i, n // self.N_CLIENTS, failures))
                   for i in range(self.N_CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        self.assertEqual(failures, [], f"seed {SEED}")
        self.assertLessEqual(len(server.sessions), 2)

    @staticmethod
    def answer(_, message):
        """With a notice that only the sender may get."""
        text = message.body[:-1].decode()
        return notice(text) + one_row(text) + ready("I") if message.letter == "Q" else b""

    @staticmethod
    def work(server, client, number, n, failures):
        chance = random.Random(SEED * 100 + number)
        for i in range(n):
            time.sleep(chance.uniform(0, 0.002))
            if server.sessions:
                chance.choice(server.sessions).send(NOTICE)
            mine = f"{number} {i}"
            try:
                client.send(query(mine))
                answer = client.answer(SOON_S)
                notices = [message.fields()["M"] for message in answer.messages if message.letter == "N"]
                if answer.value != mine or [text for text in notices if text != "nobody asked"] != [mine]:
                    failures.append((mine, answer.rows, notices))
            except (OSError, EOFError, ServerError) as problem:
                failures.append((mine, repr(problem)))
                return


if __name__ == "__main__":
    unittest.main()
