"""Clients that break the protocol or do not read what they asked for hurt nobody but themselves."""

import asyncio
import collections
import contextlib
import random
import socket
import statistics
import struct
import time
import unittest

import proc
from crowd import Client, allow_many_files, come_in, together
from message import frame, startup, string
from pooling import PROFILE_6_1, Pooling, database, scaled
from postgres import Postgres
from relay import SANITIZER
from wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, ServerError, bind, close, copy_data, copy_fail, describe,
                  execute, function_call, parse, query)

PASSWORD = "pass word"
PROMPT_S = 5
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


class HalfOpenTest(unittest.TestCase):
    """Connections that never finish their startup packet."""

    N_CONNECTIONS = scaled(1000, 300, 5000)
    EACH_KB = 20 if SANITIZER == "none" else 160  # the packet, the dialogue to come, the client

    async def crowd(self, weir):
        client = await Client.connect(weir.port, "app", "app")
        await client.close()
        memory = proc.resident_kb(weir.pid)
        halves = []
        for _ in range(self.N_CONNECTIONS // 50):
            halves += await together(Client.open(weir.port) for _ in range(50))
        for half in halves:
            half.send(struct.pack("!II", 10004, 3 << 16) + bytes(9000))
        client = await Client.connect(weir.port, "app", "app")  # came later, and its bytes after theirs
        self.assertLess(proc.resident_kb(weir.pid) - memory, self.N_CONNECTIONS * self.EACH_KB)
        self.assertEqual(await client.query("select 1"), [("1",)])
        await together(half.ended() for half in halves)
        for half in halves:
            half.drop()
        self.assertEqual(await client.query("select 1"), [("1",)])
        await client.close()

    def test_half_a_startup_packet(self):
        with pooling(client_login_timeout="2s", max_client_conn=10) as weir:
            asyncio.run(self.crowd(weir))


class SlowReaderTest(unittest.TestCase):
    """Clients that ask for 10 MB and read nothing."""

    N_WINDOWS = 5
    WINDOW_S = scaled(0.5, 0.5, 5)
    SLACK_KB = 8 << 10 if SANITIZER == "none" else 200 << 10
    SQL = "select repeat('x', 1000) from generate_series(1, 10000)"

    async def window(self, clients):
        """The 99th percentile of what queries of these take when all of them ask at once."""
        times = []

        async def ask(client):
            end = time.monotonic() + self.WINDOW_S
            while (before := time.monotonic()) < end:
                await client.query("select 1")
                times.append(time.monotonic() - before)
        await together(ask(client) for client in clients)
        return statistics.quantiles(times, n=100)[-1]

    async def p99(self, clients):
        """The median of several windows: the machine has other things to do now and then."""
        return statistics.median([await self.window(clients) for _ in range(self.N_WINDOWS)])

    async def come_to_stand(self, weir):
        """A client with hardly any room in its socket, and its query on the way."""
        sock = socket.socket()
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        sock.setblocking(False)
        await asyncio.get_running_loop().sock_connect(sock, ("127.0.0.1", weir.port))
        client = Client(*await asyncio.open_connection(sock=sock))
        await client.log_in("attacker", "attacked")
        client.writer.transport.pause_reading()
        client.send(query(self.SQL))
        return client

    async def wait_until_stuck(self):
        """Until for a second no backend does anything for them: each waits for room or is through."""
        watch = await Client.connect(postgres.port, "postgres", "postgres", postgres.passwords["postgres"])
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + 1:
            if await watch.query("select from pg_stat_activity where usename = 'attacker' and state = 'active'"
                                 " and wait_event is distinct from 'ClientWrite'"):
                quiet_since = time.monotonic()
        await watch.close()

    async def stand(self, weir, n_slow):
        """Others in another pool, first alone and then beside these."""
        clients = await together(Client.connect(weir.port, "app", "app") for _ in range(20))
        await self.window(clients)
        alone = await self.p99(clients)
        slow = []
        for _ in range(n_slow // 20):
            slow += await together(self.come_to_stand(weir) for _ in range(20))
        await self.wait_until_stuck()
        beside = await self.p99(clients)
        memory = proc.resident_kb(weir.pid)
        await together(client.close() for client in clients)
        for client in slow:
            client.drop()
        return alone, beside, memory

    def run_with(self, n_slow, arena_kb, **options):
        arena = {"total_size": f"{arena_kb}kB", "chunk_size": "16kB"}
        with pooling(arena=arena, **options) as weir:
            memory = proc.resident_kb(weir.pid)
            alone, beside, used = asyncio.run(self.stand(weir, n_slow))
            self.assertLess(used - memory, arena_kb + self.SLACK_KB)
            self.assertLess(beside, 2 * alone)
            self.assertEqual(asyncio.run(self.whole_answer(weir)), 10000)

    async def whole_answer(self, weir):
        """Once the slow ones are gone their pool serves those that read."""
        client = await Client.connect(weir.port, "attacker", "attacked")
        rows = await client.query(self.SQL)
        await client.close()
        return len(rows)

    def test_500_clients_for_4_servers(self):
        self.run_with(500, 64 << 10)

    def test_more_servers_than_memory(self):
        """What 80 servers send would not fit: the longest stuck are closed, nobody else is hurt."""
        self.run_with(80, 4 << 10, default_pool_size=80)


if __name__ == "__main__":
    unittest.main()
