"""Clients that are in no hurry hurt nobody: they log in halfway, or do not read what they asked for."""

import asyncio
import socket
import statistics
import struct
import time
import unittest

import proc
from crowd import Client, allow_many_files, together
from pooling import Pooling, database, scaled
from postgres import Postgres
from relay import SANITIZER
from wire import query

PASSWORD = "pass word"


def setUpModule():
    global postgres
    allow_many_files()
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql(f"create role slow login password '{PASSWORD}'", user="postgres")


def pooling(**options):
    """The slow ones have a pool of their own."""
    slow = database(postgres, "slow", dbname="app", user="slow", password=PASSWORD)
    secrets = {"app": postgres.passwords["app"], "slow": PASSWORD}
    return Pooling([database(postgres), slow], secrets=secrets,
                   **({"default_pool_size": 4, "log_pooler_errors": False} | options))


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

    N_WINDOWS = scaled(5, 3, 5)
    WINDOW_S = scaled(0.5, 0.3, 5)
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
        await client.log_in("slow", "slow")
        client.writer.transport.pause_reading()
        client.send(query(self.SQL))
        return client

    async def wait_until_stuck(self):
        """Until for a second no backend does anything for them: each waits for room or is through."""
        watch = await Client.connect(postgres.port, "postgres", "postgres", postgres.passwords["postgres"])
        quiet_since = time.monotonic()
        while time.monotonic() < quiet_since + 1:
            if await watch.query("select from pg_stat_activity where usename = 'slow' and state = 'active'"
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
            for is_last in (False, False, True):  # the machine may have had more to do the second time
                alone, beside, used = asyncio.run(self.stand(weir, n_slow))
                self.assertLess(used - memory, arena_kb + self.SLACK_KB)
                self.assertEqual(asyncio.run(self.whole_answer(weir)), 10000)
                if beside < 2 * alone:
                    break
                self.assertFalse(is_last, f"{beside} s beside slow ones, {alone} s alone")

    async def whole_answer(self, weir):
        """Once the slow ones are gone their pool serves those that read."""
        client = await Client.connect(weir.port, "slow", "slow")
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
