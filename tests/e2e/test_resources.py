"""What weir takes from the machine: nothing for a query, little at rest, all of it given back."""

import asyncio
import os
import shutil
import signal
import struct
import time
import unittest

import proc
from crowd import Client, allow_many_files, together
from pooling import Pooling, database, scaled
from postgres import Postgres
from process import temporary_folder, wait_until
from relay import ENGINE, SANITIZER
from wire import query

N_TALLIES = 256  # malloc_tally.c
ENGINES = ["epoll"] if ENGINE == "epoll" else ["io_uring", "epoll"]
TALLY = struct.Struct("qQ")


def setUpModule():
    global postgres
    allow_many_files()
    postgres = unittest.enterModuleContext(Postgres())


def pooling(**options):
    options = {"default_pool_size": 4, "max_client_conn": 2000} | options
    return Pooling([database(postgres)], secrets={"app": postgres.passwords["app"]}, **options)


@unittest.skipIf(SANITIZER != "none", "sanitizers bring their own malloc")
class MallocTest(unittest.TestCase):
    """The reactors ask for no memory once they have served each kind of query and of client, and have
    kept each text that is parsed."""

    N_QUERIES = 10000
    N_CLIENTS = 8  # in transaction mode more than servers: some wait, on both reactors

    def setUp(self):
        self.folder = self.enterContext(temporary_folder())
        self.library = shutil.copy(os.environ["WEIR_MALLOC_TALLY"], self.folder)
        self.path = os.path.join(self.folder, "tally")
        with open(self.path, "wb") as file:
            file.write(bytes(N_TALLIES * TALLY.size))
        os.chmod(self.path, 0o666)

    def tallied(self, weir):
        """{name of a thread: how often it has asked for memory}"""
        with open(self.path, "rb") as file:
            counts = dict(TALLY.iter_unpack(file.read()))
        return {name: counts.get(tid, 0) for tid, name in proc.threads(weir.pid).items()}

    async def ask(self, client, n):
        """Queries of all kinds; one in eight has an answer that does not fit into a buffer."""
        for i in range(n // 8):
            self.assertEqual(await client.query(f"select {i}"), [(str(i),)])
            self.assertEqual(await client.extended(f"select {i % 20}"), [(str(i % 20),)])
            await client.query("begin")
            await client.extended("select 1")
            client.send(query("select 1; select 2"))
            self.assertEqual(len(await client.answer()), 2)
            await client.query("commit")
            self.assertEqual(len((await client.query("select repeat('x', 100000)"))[0][0]), 100000)
            client.send(query("select 1") + query("select 2"))
            await client.answer()
            await client.answer()

    async def crowd(self, weir):
        clients = [await Client.connect(weir.port, "app", "app") for _ in range(self.N_CLIENTS)]
        await together(self.ask(client, 400) for client in clients)
        before = self.tallied(weir)
        await together(self.ask(client, self.N_QUERIES // self.N_CLIENTS) for client in clients)
        after = self.tallied(weir)
        await together(client.close() for client in clients)
        return before, after

    def test_no_malloc_on_the_path_of_a_query(self):
        for engine in ENGINES:
            for mode in ("transaction", "session"):
                with self.subTest(engine, mode=mode):
                    self.check(engine, mode)

    def check(self, engine, mode):
        with open(self.path, "r+b") as file:
            file.write(bytes(N_TALLIES * TALLY.size))
        prefix = ("env", f"LD_PRELOAD={self.library}", f"MALLOC_TALLY={self.path}")
        pool_size = 4 if mode == "transaction" else self.N_CLIENTS
        with pooling(prefix=prefix, engine=engine, pool_mode=mode, default_pool_size=pool_size) as weir:
            before, after = asyncio.run(self.crowd(weir))
        for name in ("reactor-0", "reactor-1"):
            self.assertGreater(before[name], 0, "logins do ask for memory")
            self.assertEqual(after[name], before[name], f"{name}: {after}")


class CycleTest(unittest.TestCase):
    """Clients come, ask and go in every way, and leave nothing behind."""

    def setUp(self):
        self.backends = set()

    async def visit(self, weir, number):
        client = await Client.connect(weir.port, "app", "app")
        self.backends.add((await client.query("select pg_backend_pid()"))[0][0])
        if number % 4 == 0:
            client.drop()
        elif number % 4 == 1:
            await client.hang_up()
        else:
            await client.close()

    async def visits(self, weir, n):
        async def some(first):
            for number in range(first, n, 16):
                await self.visit(weir, number)
        await together(some(first) for first in range(16))

    def test_nothing_grows(self):
        n_cycles = scaled(3000, 500, 10000)
        with pooling() as weir:
            asyncio.run(self.visits(weir, 500))
            wait_until(lambda: self.n_clients(weir) == 0)
            files, threads, memory = proc.n_files(weir.pid), proc.threads(weir.pid), proc.resident_kb(weir.pid)
            asyncio.run(self.visits(weir, n_cycles))
            wait_until(lambda: self.n_clients(weir) == 0)
            self.assertEqual(proc.n_files(weir.pid), files)
            self.assertEqual(proc.threads(weir.pid), threads)
            if SANITIZER == "none":
                self.assertLess(proc.resident_kb(weir.pid) - memory, 256)
        self.assertLessEqual(len(self.backends), 4)

    def n_clients(self, weir):
        """Sockets on weir's side of the port that it listens on."""
        count = 0
        with open(f"/proc/{weir.pid}/net/tcp", encoding="ascii") as file:
            for line in file.readlines()[1:]:
                local, state = line.split()[1], line.split()[3]
                count += local.endswith(f":{weir.port:04X}") and state != "0A" and state != "06"
        return count


class IdleTest(unittest.TestCase):
    N_CLIENTS, SECONDS = scaled(1000, 300, 1000), scaled(3, 3, 60)

    async def crowd(self, weir):
        """The CPUs that weir takes for clients that do nothing, and how often a second it wakes."""
        clients = []
        for _ in range(self.N_CLIENTS // 50):
            clients += await together(Client.connect(weir.port, "app", "app") for _ in range(50))
        await together(client.query("select 1") for client in clients)
        cpu, sleeps = proc.cpu_seconds(weir.pid), proc.n_sleeps(weir.pid)
        self.assertGreater(cpu, 0)
        self.assertGreater(sleeps, 0)
        await asyncio.sleep(self.SECONDS)  # the time over which they are measured
        cpu, sleeps = proc.cpu_seconds(weir.pid) - cpu, proc.n_sleeps(weir.pid) - sleeps
        await together(client.close() for client in clients)
        return cpu / self.SECONDS, sleeps / self.SECONDS

    def test_1000_idle_clients(self):
        for engine in ENGINES:
            with self.subTest(engine), pooling(engine=engine) as weir:
                cpu, sleeps = asyncio.run(self.crowd(weir))
                self.assertLess(cpu, 0.01)
                self.assertLess(sleeps, 100)


class LeftoverTest(unittest.TestCase):
    def test_no_zombies_and_no_files(self):
        with temporary_folder() as folder, pooling(unix_socket_dir=folder) as weir:
            before = sorted(os.listdir(weir.folder))
            self.assertIn(f".s.PGSQL.{weir.port}", os.listdir(folder))
            asyncio.run(self.come_and_go(weir))
            for _ in range(3):
                self.assertIn("reloaded", weir.reload())
            self.assertEqual(proc.zombies(weir.pid), [])
            self.assertEqual(weir.process.stop(signal.SIGTERM), 0)
            self.assertEqual(os.listdir(folder), [])
            self.assertEqual(sorted(os.listdir(weir.folder)), before)
            self.assertEqual(proc.zombies(os.getpid()), [])

    async def come_and_go(self, weir):
        clients = await together(Client.connect(weir.port, "app", "app") for _ in range(20))
        await together(client.query("select 1") for client in clients)
        for client in clients[::2]:
            client.drop()
        await together(client.close() for client in clients[1::2])


if __name__ == "__main__":
    unittest.main()
