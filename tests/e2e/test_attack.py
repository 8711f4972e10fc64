"""Clients that break the protocol hurt nobody but themselves."""

import asyncio
import collections
import contextlib
import random
import struct
import unittest

import proc
from crowd import Client, allow_many_files, come_in, together
from message import frame, startup, string
from pooling import PROFILE_6_1, Pooling, database, scaled
from postgres import Postgres
from relay import SANITIZER, SOAK
from wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, ServerError, bind, close, copy_data, copy_fail, describe,
                  execute, function_call, parse, query)

PASSWORD = "pass word"
PROMPT_S = 20  # far more than anything takes that comes at all
SSL_REQUEST = struct.pack("!II", 8, 80877103)
GSS_REQUEST = struct.pack("!II", 8, 80877104)
CANCEL_REQUEST = struct.pack("!IIII", 16, 80877102, 1, 2)
SASL_FIRST = string("SCRAM-SHA-256") + struct.pack("!I", 11) + b"n,,n=,r=abc"
COPY_IN = "copy attacked from stdin"
LOGIN = startup(user="attacker", database="attacked", application_name="mutant")

# What is mutated: each stream as its messages.
STREAMS = [
    [LOGIN],
    [SSL_REQUEST],
    [GSS_REQUEST],
    [SSL_REQUEST, LOGIN],
    [CANCEL_REQUEST],
    [LOGIN, query("select 1"), query("select 2; select 3"), TERMINATE],
    [LOGIN, query("begin"), query("select 1/0"), query("commit"), query("select 1")],
    [LOGIN, query("begin"), query("insert into attacked values ('one')")],
    [LOGIN, parse("select $1::int + $2::int"), bind("1", "2"), describe(), execute(), SYNC],
    [LOGIN, parse("select 1", name="s"), describe("S", "s"), FLUSH, bind(name="s", portal="p"),
     execute("p", 1), close("P", "p"), close("S", "s"), SYNC, query("select 1")],
    [LOGIN, parse("select x"), bind(), execute(), SYNC, parse("select 1"), bind(), execute(), SYNC],
    [LOGIN, query(COPY_IN), copy_data("one\n"), copy_data("two\n"), COPY_DONE, query("select 1")],
    [LOGIN, query(COPY_IN), copy_data("one\n"), copy_fail("enough"), query("select 1")],
    [LOGIN, query("copy (select generate_series(1, 1000)) to stdout"), TERMINATE],
    [LOGIN, parse(COPY_IN), bind(), execute(), copy_data("one\n"), COPY_DONE, SYNC],
    [LOGIN, function_call(1396, "-7"), query("select repeat('x', 100000)")],
    [LOGIN, query("select pg_sleep(0.01)"), query(""), SYNC, FLUSH, TERMINATE],
    [LOGIN, frame("p", SASL_FIRST), frame("p", b"c=biws,r=abc,p=abcd")],
]
LENGTHS = (0, 1, 3, 4, 5, 100, 10000, 10005, 0x3fffffff, 0x7fffffff, 0x80000000, 0xffffffff)


def setUpModule():
    global postgres
    allow_many_files()
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql(f"create role attacker login password '{PASSWORD}'; create table attacked (line text);"
                  "grant all on attacked to attacker", user="postgres")


def pooling(mode="transaction", **options):
    """Attackers have a pool of their own, whatever they call themselves; `mode` is its mode."""
    attacked = database(postgres, "attacked", dbname="app", user="attacker", password=PASSWORD, pool_mode=mode)
    secrets = {"app": postgres.passwords["app"], "attacker": PASSWORD}
    return Pooling([database(postgres), attacked], secrets=secrets,
                   **({"default_pool_size": 4, "log_pooler_errors": False} | options))


class Mutator:
    """Makes broken streams out of good ones, the same ones for the same seed."""

    def __init__(self, seed):
        self.random = random.Random(seed)
        self.ways = (self.flip, self.truncate, self.lie_about_length, self.change_letter, self.insert, self.repeat)

    def stream(self):
        messages = list(self.random.choice(STREAMS))
        for _ in range(self.random.choice((0, 1, 1, 1, 2, 4))):
            way = self.random.choice(self.ways)
            number = self.random.randrange(len(messages))
            messages[number] = way(messages[number])
        return b"".join(messages)

    def flip(self, message):
        data = bytearray(message)
        for _ in range(self.random.randint(1, 8)):
            if data:
                data[self.random.randrange(len(data))] ^= 1 << self.random.randrange(8)
        return bytes(data)

    def truncate(self, message):
        return message[:self.random.randrange(len(message) + 1)]

    def lie_about_length(self, message):
        at = 0 if message[:1] == b"\0" else 1
        length = self.random.choice((*LENGTHS, max(len(message) - at + self.random.randint(-3, 3), 0)))
        return message[:at] + struct.pack("!I", length) + message[at + 4:]

    def change_letter(self, message):
        return self.random.randbytes(1) + message[1:]

    def insert(self, message):
        at = self.random.randrange(len(message) + 1)
        return message[:at] + self.random.randbytes(self.random.choice((1, 4, 50, 3000))) + message[at:]

    def repeat(self, message):
        return message * self.random.randint(2, 5)

    def pieces(self, data):
        """The stream as it is sent: at once, in two, or in drops."""
        cuts = self.random.choice((0, 0, 1, 1, 20))
        places = sorted(self.random.randrange(len(data) + 1) for _ in range(cuts))
        return [data[a:b] for a, b in zip([0, *places], [*places, len(data)])]


class Attack:
    """A crowd of attackers; `answers` counts what weir said, by SQLSTATE."""

    def __init__(self, weir, seed, n_streams):
        self.weir = weir
        self.mutator = Mutator(seed)
        self.n_left = n_streams
        self.answers = collections.Counter()

    async def run(self, n_attackers):
        await together((self.attack() for _ in range(n_attackers)), timeout=3600)

    async def attack(self):
        while self.n_left > 0:
            self.n_left -= 1
            await self.send_one()

    async def send_one(self):
        stream = self.mutator.stream()
        pieces = self.mutator.pieces(stream)
        ending = self.mutator.random.choice(("half", "polite", "reset", "close"))
        if ending == "polite":
            pieces.append(TERMINATE)
        client = await Client.open(self.weir.port)
        try:
            with contextlib.suppress(OSError):  # weir may have gone before the last piece
                await self.deliver(client, pieces)
                if ending == "half":
                    client.writer.write_eof()
            if ending == "half":
                await self.read_to_end(client, stream)
            elif ending == "polite":
                await self.read_a_while(client)
            elif ending == "close":
                await client.hang_up()
        finally:
            client.drop()

    async def deliver(self, client, pieces):
        for piece in pieces:
            if client.reader.at_eof() or client.reader.exception():
                return
            client.send(piece)
            await asyncio.sleep(0 if len(pieces) < 3 else 0.001)  # a drop is a segment of its own

    async def read_to_end(self, client, stream):
        """weir ends the connection once it knows that nothing more will come."""
        try:
            messages = await client.ended()
        except TimeoutError as error:
            raise AssertionError(f"the connection stays open after {stream}") from error
        for message in messages:
            self.count(message)

    async def read_a_while(self, client):
        """What was asked for before the Terminate; but weir may see none, and wait for more."""
        with contextlib.suppress(TimeoutError, ConnectionError):
            while True:
                self.count(await client.next(timeout=0.2))

    def count(self, message):
        if message.letter == "E":
            self.answers[ServerError(message).sqlstate] += 1


class Bystander:
    """Works and checks every answer for as long as the attack lasts."""

    def __init__(self, number, client):
        self.number = number
        self.client = client
        self.n_done = 0

    async def run(self, over):
        await self.client.query(f"create table bystander_{self.number} (value int)")
        while not over.is_set():
            await self.step(self.client)
            self.n_done += 1
        await self.client.query(f"drop table bystander_{self.number}")
        await self.client.close()

    async def step(self, client):
        n, table = self.n_done, f"bystander_{self.number}"
        expect(await client.query(f"select {self.number}, {n}"), [(str(self.number), str(n))])
        expect(await client.extended(f"select repeat('{n % 10}', 5000)"), [(str(n % 10) * 5000,)])
        await client.query("begin")
        await client.extended(f"insert into {table} values ({n})")
        expect(await client.query(f"select count(*), max(value) from {table}"), [(str(n + 1), str(n))])
        await client.query("commit")


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{wanted} was wanted, {found} came")


class MutantTest(unittest.TestCase):
    MAX_CLIENTS = 60
    # TSan looks for threads that meet, not for what a parser does with each mutant.
    PART = 4 if SANITIZER == "thread" and not SOAK else 1
    MEMORY_KB = (64 if SANITIZER == "none" else 1024) << 10  # sanitizers keep what was freed

    async def siege(self, weir, attack):
        over = asyncio.Event()
        clients = [await Client.connect(weir.port, "app", "app", postgres.passwords["app"]) for _ in range(20)]
        bystanders = [Bystander(number, client) for number, client in enumerate(clients)]

        async def assault():
            try:
                await attack.run(20)
            finally:
                over.set()

        await together([assault(), *(bystander.run(over) for bystander in bystanders)], timeout=3600)
        for bystander in bystanders:
            self.assertGreater(bystander.n_done, 0)

    async def aftermath(self, weir):
        """All that the attackers had is there again: places for clients, and servers."""
        who = "attacker", "attacked", PASSWORD
        clients = [await come_in(weir.port, *who) for _ in range(self.MAX_CLIENTS)]
        async with asyncio.timeout(PROMPT_S):
            while len(await self.servers_at_once(clients[:4])) < 4:
                pass
        await together(client.close() for client in clients)

    async def servers_at_once(self, clients):
        """Those that serve these clients: fewer than clients if one ended before another was opened."""
        rows = await together(client.query("select pg_backend_pid(), pg_sleep(0.1)") for client in clients)
        return {answer[0][0] for answer in rows}

    def run_attack(self, n_streams, **options):
        n_streams //= self.PART
        seed = random.randrange(1 << 32)
        print(f"seed {seed}", flush=True)
        with pooling(max_client_conn=self.MAX_CLIENTS, **options) as weir:
            memory = proc.resident_kb(weir.pid)
            attack = Attack(weir, seed, n_streams)
            asyncio.run(self.siege(weir, attack))
            asyncio.run(self.aftermath(weir))
            self.assertLess(proc.resident_kb(weir.pid) - memory, self.MEMORY_KB)
            self.assertGreater(attack.answers["08P01"], n_streams // 20, attack.answers)

    def test_messages(self):
        self.run_attack(scaled(2000, 5000, 50000))

    def test_messages_in_session_mode(self):
        self.run_attack(scaled(1000, 2000, 20000), mode="session", engine="epoll")

    def test_messages_in_statement_mode(self):
        self.run_attack(scaled(500, 1000, 20000), mode="statement", prefix=PROFILE_6_1)

    def test_logins(self):
        self.run_attack(scaled(1000, 2000, 20000), auth_type="scram-sha-256")


# What is sent after a login, and what PostgreSQL says to it.
VIOLATIONS = {
    "unknown letter": (b"z\0\0\0\4", "08P01"),
    "letter of a server": (frame("T", b"\0\0"), "08P01"),
    "password after the login": (frame("p", b"x\0"), "08P01"),
    "length 0": (b"Q\0\0\0\0", "08P01"),
    "length 3": (b"Q\0\0\0\3", "08P01"),
    "negative length": (b"Q\xff\xff\xff\xff", "08P01"),
    "length over 1 GB": (b"Q\x7f\xff\xff\xff", "08P01"),
    "long Sync": (b"S\0\0\x27\x15", "08P01"),
    "startup packet again": (LOGIN, "08P01"),
}

# What is sent instead of a login; None: nothing is said to what is no client of PostgreSQL.
BAD_STARTUPS = {
    "length 0": (struct.pack("!II", 0, 3 << 16), None),
    "length 7": (struct.pack("!II", 7, 3 << 16), None),
    "length 10005": (struct.pack("!II", 10005, 3 << 16), None),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", None),
    "version 4": (struct.pack("!II", 9, 4 << 16) + b"\0", "0A000"),
    "no end": (LOGIN[:4] + LOGIN[4:-1] + b"x", "08P01"),
    "no user": (startup(database="attacked"), "28000"),
    "message after SSLRequest": (SSL_REQUEST + LOGIN, "08P01"),
}


class ViolationTest(unittest.TestCase):
    async def said_to(self, client, data):
        """The SQLSTATEs of the errors up to the end of the connection, all of them fatal."""
        client.send(data)
        errors = [ServerError(message) for message in await client.ended() if message.letter == "E"]
        client.drop()
        for error in errors:
            self.assertEqual(error.fields["S"], "FATAL")
        return [error.sqlstate for error in errors]

    async def check(self, weir):
        for name, (data, sqlstate) in VIOLATIONS.items():
            for before in (None, "select 1", "begin"):
                with self.subTest(name, before=before):
                    client = await Client.connect(weir.port, "attacker", "attacked")
                    if before:
                        await client.query(before)
                    self.assertEqual(await self.said_to(client, data), [sqlstate])
        for name, (data, sqlstate) in BAD_STARTUPS.items():
            with self.subTest(name):
                client = await Client.open(weir.port)
                self.assertEqual(await self.said_to(client, data), [sqlstate] if sqlstate else [])

    def test_all(self):
        with pooling() as weir:
            asyncio.run(self.check(weir))


if __name__ == "__main__":
    unittest.main()
