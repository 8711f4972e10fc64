"""Through weir every script gets the bytes that PostgreSQL itself answers.

The scripts are those that reply accounting is tested with (by hand and at random), and the tables
below for what they do not have.
"""

import hashlib
import os
import random
import re
import struct
import threading
import unittest

import sequence
from differential import Chopper, Difference, Server, Undecided, joined, play, send_in_bytes
from postgres import Postgres
from process import temporary_folder
from relay import REACTORS, SHARE, SOAK, Relay
from wire import (COPY_DONE, FLUSH, SYNC, Client, batch, bind, close, copy_data, copy_fail,
                  describe, execute, function_call, parse, query)

HERE = os.path.dirname(os.path.abspath(__file__))
RECORDED = os.path.join(HERE, "../../subprojects/pgwire/tests/replies")
OWN = os.path.join(HERE, "same_bytes.txt")
SEED = 3
DIFFERENT = {"Terminate in a COPY"}  # who says goodbye is not told that this ends the COPY
MAX_UNDECIDED = 4  # scripts that are too much for reply accounting, as it says itself
LEAVES_STATE = re.compile(r"\b(set|reset|listen|prepare|temp)\b", re.IGNORECASE)
MEGABYTE = 1 << 20
INT4PL = 177  # the OID of pg_catalog.int4pl

postgres = server = None


def setUpModule():
    global postgres, server
    postgres = unittest.enterModuleContext(Postgres(autovacuum="off"))
    server = Server(postgres)


def scripts(*paths):
    found = []
    for path in paths:
        found += sequence.read(path)[1]
    for script in found:
        script.add_probe()
    return found


def some(found, n):
    """n of them, or a share of those where the environment says so, or all in a long run."""
    if SOAK:
        return found
    return random.Random(SEED + REACTORS).sample(found, min(n, len(found)) // SHARE)


def recorded():
    """All that were written by hand, and some of the random ones."""
    by_hand = [script for script in scripts(os.path.join(RECORDED, "by_hand.txt"), OWN)
               if script.name not in DIFFERENT]
    return some(by_hand, len(by_hand)) + some(scripts(os.path.join(RECORDED, "random.txt")), 40)


def keeps_to_transactions(script):
    """No message needs what an earlier transaction left on its server, but for prepared statements."""
    between = True
    for message, answers in zip(script.messages, script.answers):
        if message[0] in "PQ" and LEAVES_STATE.search(" ".join(message[1:])):
            return False
        if message[0] == "!" and between:
            return False
        between = "Z:I" in answers
    return True


def can_be_chopped(script):
    """Short enough to go byte by byte, and nothing happens beside it."""
    n_bytes = sum(len(str(answer)) for answers in script.answers for answer in answers)
    return keeps_to_transactions(script) and n_bytes < 300 and "!" not in [m[0] for m in script.messages]


class ScriptTest(unittest.TestCase):
    """Message by message or in one send, alone or with others in between."""

    n_undecided = 0

    def tearDown(self):
        self.assertLessEqual(self.n_undecided, MAX_UNDECIDED)

    def play(self, client, steps, **options):
        try:
            play(server, client, steps, **options)
        except Undecided:
            self.n_undecided += 1
        except BaseException:
            server.terminate()  # what holds locks, so that the other scripts have their chance
            raise

    def compare(self, script, weir, steps, uses_other=lambda status: False):
        """Behind each ReadyForQuery with such a status another client has a query of its own."""
        def use(status):
            if uses_other(status):
                self.assertEqual(other.query("select 'other'").value, "other")

        with self.subTest(script.name), weir.client() as other, weir.client() as client:
            self.play(client, steps, other=use)

    def test_transactions_on_one_server(self):
        with Relay(postgres, pool_size=1) as weir:
            for script in filter(keeps_to_transactions, recorded()):
                self.compare(script, weir, server.ask(script), lambda status: status == "I")

    def test_transactions_on_two_servers(self):
        with Relay(postgres, pool_size=2) as weir:
            for script in filter(keeps_to_transactions, recorded()):
                self.compare(script, weir, server.ask(script), lambda status: True)

    def test_transactions_in_one_send(self):
        """Another client asks for the only server at the same time."""
        with Relay(postgres, pool_size=1) as weir:
            for script in filter(keeps_to_transactions, recorded()):
                with weir.client() as other:
                    other.send(query("select 'other'"))
                    self.compare(script, weir, joined(server.ask(script)))
                    self.assertEqual(other.answer().value, "other")

    def test_sessions(self):
        """Each script is a session of its own; the next one gets its server, reset."""
        with Relay(postgres, pool_size=1, pool_mode="session") as weir:
            for script in recorded():
                self.compare(script, weir, server.ask(script))
                self.compare(script, weir, joined(server.ask(script)))

    def test_byte_by_byte(self):
        """Every message of both sides comes in as many pieces as it has bytes."""
        chosen = some(list(filter(can_be_chopped, recorded())), 60)
        with temporary_folder() as folder, Chopper(postgres, folder) as chopper, \
                Relay(chopper, pool_size=1, unix_socket_dir=folder) as weir:
            path = f"{folder}/.s.PGSQL.{weir.address[1]}"
            for script in chosen:
                with self.subTest(script.name), Client(path).log_in("app", "app") as client:
                    self.play(client, joined(server.ask(script)), send=send_in_bytes)


# Name, messages, number of ReadyForQuery. All is sent in one go while the answers are read.
BINARY = (1,)
INT4 = struct.pack("!i", 7)
EVERY_FIELD = """do $$ begin raise exception using message = 'm', detail = 'd', hint = 'h', errcode = '23514',
    column = 'c', constraint = 'k', datatype = 'y', table = 't', schema = 's'; end $$"""
TABLE = [
    ("binary values and results",
     [parse("select $1, $2, $3, $4", types=(23, 701, 17, 25)), describe("S"),
      bind(INT4, struct.pack("!d", 1.5), b"\0\1\xff", "text", formats=BINARY, results=BINARY),
      describe(), execute(), SYNC], 1),
    ("some binary, some text",
     [parse("select $1::int4, $2::int4"), bind(INT4, "8", formats=(1, 0), results=(0, 1)), describe(),
      execute(), SYNC], 1),
    ("binary value of a wrong length",
     [parse("select $1::int4"), bind(b"123", formats=BINARY), execute(), SYNC, query("select 1")], 2),
    ("null and empty values", [parse("select $1::text, $2::text"), bind(None, ""), execute(), SYNC], 1),
    ("rows without columns", [query("select from generate_series(1, 3)")], 1),
    ("as many columns as there can be",
     [query("select " + ", ".join(f"{i} as column_{i}" for i in range(1664)))], 1),
    ("an error with every field", [query(EVERY_FIELD)], 1),
    ("an error with a position", [query("select 1,\n  nothing_of_this_name"), query("select 'é' || ñ")], 2),
    ("function call, binary",
     [function_call(INT4PL, INT4, INT4, formats=BINARY, result=1)], 1),
    ("a thousand notices",
     [query("do $$ begin for i in 1..1000 loop raise notice 'n %', i; end loop; end $$")], 1),
    ("a thousand statements in one query", [query("select 1;" * 1000)], 1),
    ("queries of every length", [query("select '" + "x" * n + "'") for n in range(300)], 300),
    ("more Syncs than a queue holds", [SYNC * 5000], 5000),
    ("more messages in a batch than a queue holds",
     [batch(f"select {i}") for i in range(3000)] + [SYNC], 1),
    ("the same, and the first fails", [batch("select 1/0")] + [batch("select 1")] * 3000 + [SYNC, SYNC], 2),
    ("pipeline of many batches", [batch(f"select {i}, repeat('x', 500)") + SYNC for i in range(3000)], 3000),
    ("pipeline in which every third batch fails",
     [batch(f"select 1 / ({i} % 3)") + SYNC for i in range(300)], 300),
    ("transactions in a pipeline", [query("begin") + batch("insert into t values (1)") + SYNC
                                    + query("rollback")] * 200, 600),
    ("portal in many pieces",
     [parse("select generate_series(1, 1000)"), bind()] + [execute(rows=10)] * 101 + [SYNC], 1),
    ("portals side by side",
     [query("begin"), parse("select generate_series($1::int, $1::int + 9)"), bind("1", portal="a"),
      bind("100", portal="b")] + [execute("a", 3), execute("b", 2), FLUSH] * 4
     + [close("P", "a"), SYNC, query("commit")], 3),
    ("COPY in of many small pieces",
     [query("copy t from stdin"), copy_data("1\n") * 20000, COPY_DONE, query("select count(*) from t")], 2),
    ("COPY in of large pieces",
     [query("copy t from stdin")] + [copy_data("12345678\n" * 100000)] * 4 + [COPY_DONE], 1),
    ("COPY in that fails early, and everything behind it",
     [query("copy t from stdin"), copy_data("x\n")] + [copy_data("1\n" * 5000)] * 100
     + [COPY_DONE, query("select count(*) from t")], 2),
    ("COPY in by Execute, with Syncs among the data",
     [batch("copy t from stdin"), SYNC] + [copy_data("1\n"), SYNC] * 500 + [COPY_DONE, SYNC], 1),
    ("COPY in that the client gives up",
     [query("copy t from stdin"), copy_data("1\n"), copy_fail("why not"), query("select count(*) from t")], 2),
    ("COPY out, binary", [query("copy (select g, g::text from generate_series(1, 50000) g) to stdout binary")], 1),
    ("ten megabytes of rows", [query("select repeat('x', 1000) from generate_series(1, 10000)")], 1),
]


def ask(client, messages, n_ready):
    """What the client gets for all of the messages, sent while it reads."""
    sender = threading.Thread(target=client.send_all_it_takes, args=(b"".join(messages),))
    sender.start()
    came = []
    for _ in range(n_ready):
        came += client.read_until("Z")
    sender.join()
    return [(message.letter, message.body) for message in came]


class TableTest(unittest.TestCase):
    def direct(self):
        return Client((postgres.host, postgres.port)).log_in("app", "app", postgres.passwords["app"])

    def play_all(self, **options):
        with Relay(postgres, **options) as weir, weir.client() as other:
            for name, messages, n_ready in TABLE:
                with self.subTest(name):
                    server.clean()
                    with self.direct() as client:
                        wanted = ask(client, messages, n_ready)
                    server.clean()
                    other.send(query("select 'other'"))
                    with weir.client() as client:
                        # Not assertEqual(): it would print megabytes.
                        self.assertTrue(ask(client, messages, n_ready) == wanted)
                        self.assertEqual(client.value("select 'end'"), "end")
                    self.assertEqual(other.answer().value, "other")

    def test_transactions(self):
        self.play_all(pool_size=1)

    def test_sessions(self):
        self.play_all(pool_size=2, pool_mode="session")

    def test_large_row(self):
        """100 MB in one message, and 64 MB the other way."""
        question = query(f"select repeat('x', {100 * MEGABYTE})")
        with self.direct() as client:
            client.send(question)
            wanted = digests(client.read_until("Z"))
        with Relay(postgres) as weir, weir.client() as client:
            client.send(question)
            self.assertEqual(digests(client.read_until("Z")), wanted)
            text = "y" * (64 * MEGABYTE)
            self.assertEqual(client.value(f"select md5('{text}')"), hashlib.md5(text.encode()).hexdigest())
            client.send(parse("select length($1)"), bind(text), execute(), SYNC)
            self.assertEqual(client.answer().value, str(len(text)))


def digests(messages):
    return [(message.letter, hashlib.sha256(message.body).hexdigest()) for message in messages]


class OwnTest(unittest.TestCase):
    """The comparison itself: a server that answers otherwise is seen."""

    def test_other_answer(self):
        script = sequence.Sequence("version")
        script.add(["Q", "select 1"])
        steps = server.ask(script)
        steps[0].messages[1].body += b"!"
        with Relay(postgres) as weir, weir.client() as client, self.assertRaises(Difference):
            play(server, client, steps)


if __name__ == "__main__":
    unittest.main()
