"""Where messages are cut, and who sends without reading: the relay goes on, nobody takes more memory
than is his, and nobody is told anything in the middle of a message.
"""

import socket
import threading
import unittest

from message import frame
from process import wait_until
from relay import RelayCase
from scripted_server import ScriptedServer, command_complete, data_row, error, ready, row_description
from wire import COPY_DONE, DEADLINE_S, SYNC, batch, bind, close, describe, execute, parse, query

PIECE = 2048    # of what weir holds for a client that waits
ANSWERS = 2044  # so many may be outstanding, and what one message adds to them
UNKNOWN = frame("\xff")
ROWS = row_description("text") + data_row("x" * 5000)
FLOOD = SYNC * 20000
ALWAYS_FREE = 16 << 10  # bytes that a client has not read before anybody cares
TOO_MUCH = 512 << 10  # bytes that a client has not read and weir may keep


def sqlstates(messages):
    return [message.fields()["C"] for message in messages if message.letter == "E"]


class EdgeCase(RelayCase):
    """weir in front of one server that does as it is told."""

    def relay(self, **options):
        self.server = self.enterContext(ScriptedServer())
        super().relay(self.server, **options)

    def says(self, client, data, letter, *answer):
        """The client's message with this letter comes to the server, which answers; returns that server."""
        session = self.server.session(0)
        n = session.letters().count(letter)
        client.send(data)
        session.wait_for(letter, n + 1)
        session.send(b"".join(answer))
        return session

    def occupy(self):
        """A client in a transaction, which has the only server."""
        client = self.client()
        self.says(client, query("begin"), "Q", command_complete("BEGIN"), ready("T"))
        client.read_until("Z")
        return client

    def commit(self, client):
        self.says(client, query("commit"), "Q", command_complete("COMMIT"), ready("I"))
        client.read_until("Z")

    def waiting(self, data):
        """A client that has sent this and waits."""
        n = self.weir.n_waiting()
        client = self.client()
        client.send(data)
        wait_until(lambda: self.weir.n_waiting() == n + 1)
        return client


class HeldTest(EdgeCase):
    def test_a_describe_is_cut_where_a_piece_of_what_is_held_ends(self):
        self.relay()
        for end in range(PIECE - 40, PIECE + 1):
            with self.subTest(end=end):
                holder = self.occupy()
                text = "x" * (end - len(parse("")) - len(frame("D")))
                client = self.waiting(parse(text) + describe("S") + SYNC)
                session = self.server.session(0)
                n = session.letters().count("S")
                self.commit(holder)
                session.wait_for("S", n + 1)
                session.send(frame("1") + frame("t", b"\0\0") + frame("n") + ready("I"))
                client.read_until("Z")

    def test_half_a_describe_takes_no_server(self):
        self.relay()
        first, second = self.client(), self.client()
        for client in first, second:
            self.says(client, query("select 1"), "Q", command_complete("SELECT 1"), ready("I"))
            client.read_until("Z")
        whole = describe("S") + SYNC
        first.send(whole[:5])
        self.says(second, query("select 1"), "Q", command_complete("SELECT 1"), ready("I"))
        second.read_until("Z")
        self.says(first, whole[5:], "S", frame("t", b"\0\0"), frame("n"), ready("I"))
        first.read_until("Z")

    def test_a_violation_behind_as_many_messages_as_can_be_outstanding(self):
        self.relay(client_lost="finish")
        holder = self.occupy()
        client = self.waiting((describe("P") + close("P")) * (ANSWERS // 2) + UNKNOWN)
        self.commit(holder)
        self.assertEqual(sqlstates(client.read_to_end()), ["08P01"])


class SlowTest(EdgeCase):
    def test_a_goodbye_of_one_who_has_yet_to_read(self):
        """His server goes to others, his answer is sent on."""
        self.relay()
        answer = data_row("x" * 20000000) + command_complete("SELECT 1") + ready("I")
        for _ in range(5):
            client = self.client()
            client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
            session = self.server.session(0)
            n = session.letters().count("Q")
            client.send(query("select 1") + frame("X"))
            session.wait_for("Q", n + 1)
            sender = threading.Thread(target=session.send, args=(answer,))
            sender.start()
            self.assertEqual([message.letter for message in client.read_to_end()], ["D", "C", "Z"])
            sender.join()

    def test_one_who_never_reads_and_is_cut_off_while_its_last_words_wait(self):
        """By then its server has gone to others: nothing waits for this client to read any more."""
        self.relay()
        client = self.weir.connect()
        client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.log_in("app", "app")
        session = self.says(client, query("begin; select"), "Q")
        for _ in range(1000):  # until sockets take no more
            session.send(data_row("x" * 60000))
            if int(self.weir.show("clients")[0]["unsent"]) > ALWAYS_FREE:
                break
        session.send(command_complete("SELECT 1") + ready("T"))
        client.send(frame("X"))
        rollback = session.wait_for("Q", 2)
        self.assertIn(b"ROLLBACK", rollback.body)
        session.send(command_complete("ROLLBACK") + ready("I"))
        self.says(self.client(), query("select 1"), "Q", command_complete("SELECT 1"), ready("I"))
        client.reset()
        self.assertEqual(self.weir.process.stop(), 0, self.weir.process.output())


class CutTest(EdgeCase):
    """What weir says itself comes between two messages of the server, or not at all."""

    def test_the_last_words_of_a_server_are_not_cut_into(self):
        self.relay()
        client = self.occupy()
        words = error("57P01", "x" * 1000, "FATAL")
        session = self.says(client, query("select 1"), "Q", words[:600])
        wait_until(lambda: client.n_unread() == 600)
        client.send(query("select 2") + UNKNOWN)
        self.assertTrue(self.weir.show("clients"))  # a turn later than the query
        session.finish(words[600:])
        self.assertEqual(sqlstates(client.read_to_end()), ["57P01"])

    def test_last_words_of_a_server_in_use_a_moment_ago_are_not_for_the_next_client(self):
        """Those that come within milliseconds: later ones are about its own query."""
        for _ in range(20):
            self.relay()
            holder = self.occupy()
            client = self.waiting(query("select 1"))
            session = self.says(holder, query("commit"), "Q", command_complete("COMMIT"), ready("I"))
            session.wait_for("Q", 3)
            session.finish(error("57P01", "not for you", "FATAL"))
            seen = sqlstates(client.read_to_end())
            if seen == ["08006"]:
                return
            self.assertEqual(seen, ["57P01"])
        self.fail("they always came too late to be told apart")

    def test_a_notice_is_not_cut_into_when_nobody_can_tell_what_is_skipped(self):
        self.relay()
        client = self.client()
        copy = parse("copy t from stdin") + bind() + execute() + SYNC
        session = self.says(client, copy, "S", frame("1"), frame("2"), frame("G", b"\0\0\0"))
        client.read_until("G")
        notice = frame("N", error("00000", "x" * 1000)[5:])
        session.send(error("22P04", "no") + notice[:600])
        client.read_until("E")
        wait_until(lambda: client.n_unread() == 600)
        client.send(COPY_DONE + query("select 1"))
        with self.assertRaisesRegex(EOFError, "within a message"):
            client.read_to_end()
        self.assertEqual(client.n_unread(), 600)

    def test_a_row_is_whole_before_a_transaction_block_is_refused(self):
        self.relay(pool_mode="statement")
        client = self.client()
        session = self.says(client, query("select 1; begin"), "Q", ROWS[:600])
        wait_until(lambda: client.n_unread() == 600)
        session.send(ROWS[600:] + command_complete("SELECT 1") + command_complete("BEGIN") + ready("T"))
        messages = client.read_to_end()
        self.assertEqual("".join(message.letter for message in messages), "TDCE")
        self.assertEqual(sqlstates(messages), ["0A000"])

    def test_a_transaction_block_is_refused_whatever_follows_it(self):
        self.relay(pool_mode="statement")
        for number, n in enumerate(range(0, 600, 50)):
            with self.subTest(n=n):
                client = self.client()
                client.send(query("begin; select 1"))
                session = self.server.session(number)
                session.wait_for("Q")
                session.send(command_complete("BEGIN") + ROWS[:n])
                self.assertEqual(sqlstates(client.read_to_end()), ["0A000"])
                session.finish()


class FloodTest(EdgeCase):
    """Messages that weir answers itself."""

    def flood(self, client, patience_s):
        """Sends until for so long nothing is taken, or the connection ends; the bytes sent."""
        n = 0
        client.socket.settimeout(patience_s)
        try:
            while True:
                n += client.socket.send(FLOOD[n % len(SYNC):])
        except (TimeoutError, ConnectionResetError):
            return n

    def read_answers(self, client, n):
        for _ in range(n):
            self.assertEqual(client.read().letter, "Z")

    def test_a_client_is_not_read_while_it_does_not_read(self):
        self.relay()
        client = self.client()
        n = self.flood(client, 0.5)
        self.assertLess(max(int(row["unsent"]) for row in self.weir.show("clients")), TOO_MUCH)
        self.read_answers(client, n // len(SYNC))
        self.says(client, SYNC[n % len(SYNC):] + query("select 1"), "Q", command_complete("SELECT 1"), ready("I"))
        client.read_until("C")

    def test_a_guest_of_the_console_is_sent_away(self):
        self.relay()
        client = self.enterContext(self.weir.connect().log_in("app", "weir"))
        self.flood(client, DEADLINE_S)
        self.weir.process.wait_for("too much was sent before the console had answered")


if __name__ == "__main__":
    unittest.main()
