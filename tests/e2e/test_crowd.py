"""A crowd that does everything at once, in an order that only the seed knows, and believes no answer.

Every answer carries a token, so one that belongs to somebody else is seen. Before each step a client
looks whether it got a clean server: no transaction of a client that left is open on it. In a transaction
it looks whether it still has the same server. Only who was promised an error may get one.
"""

import asyncio
import random
import struct
import time
import unittest

import proc
from crowd import Client, allow_many_files, extended_query, together
from pooling import Pooling, database, scaled
from postgres import Postgres
from process import wait_until
from relay import SANITIZER, SOAK
from wire import COPY_DONE, TERMINATE, ServerError, copy_data, query

N_CLIENTS = 100
N_SERVERS = 6
CLEAN = "select pg_current_xact_id_if_assigned() is null, now() = statement_timestamp()"


def setUpModule():
    global postgres
    allow_many_files()
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql("create table crowd (client int, step int)")


def expect(found, wanted):
    if found != wanted:
        raise AssertionError(f"{str(wanted)[:200]} was wanted, {str(found)[:200]} came")


class Actor:
    """One of the crowd: a new connection after each one that it lost on purpose."""

    def __init__(self, weir, number, seed):
        self.weir = weir
        self.number = number
        self.random = random.Random(f"{seed} {number}")
        self.n_steps = 0
        self.client = None
        self.history = []  # names of steps, for the report of what failed
        self.steps = (self.simple, self.simple, self.extended, self.pipeline, self.transaction, self.fail,
                      self.copy_in, self.copy_out, self.read_much, self.cancel, self.wrong_cancel, self.lose_server,
                      self.leave, self.leave_in_transaction, self.leave_in_query, self.leave_in_copy,
                      self.leave_in_message, self.leave_politely, self.pause)

    async def run(self, deadline):
        while time.monotonic() < deadline:
            step = self.random.choice(self.steps)
            self.history.append(step.__name__)
            try:
                await self.begin()
                await step()
            except (ServerError, AssertionError, ConnectionError, TimeoutError) as error:
                raise AssertionError(f"client {self.number} after {self.history[-5:]}: {error!r}") from error
            self.n_steps += 1
        if self.client is not None:
            await self.client.close()

    async def begin(self):
        if self.client is None:
            self.client = await Client.connect(self.weir.port, "app", "app")
        expect(await self.client.query(CLEAN), [("t", "t")])

    def token(self):
        return f"{self.number}-{self.n_steps}-{self.random.randrange(1 << 30)}"

    def gone(self):
        self.client.drop()
        self.client = None

    async def simple(self):
        token = self.token()
        expect(await self.client.query(f"select '{token}'"), [(token,)])

    async def extended(self):
        token = self.token()
        expect(await self.client.extended(f"select '{token}'"), [(token,)])

    async def pipeline(self):
        tokens = [self.token() for _ in range(self.random.randint(2, 30))]
        make = self.random.choice((query, extended_query))
        self.client.send(b"".join(make(f"select '{token}'") for token in tokens))
        for token in tokens:
            expect(await self.client.answer(), [(token,)])

    async def transaction(self):
        await self.client.query("begin")
        pids = set()
        for _ in range(self.random.randint(1, 4)):
            pids.add((await self.client.query("select pg_backend_pid()"))[0][0])
            await self.client.extended(f"insert into crowd values ({self.number}, {self.n_steps})")
        expect(len(pids), 1)
        await self.client.query(self.random.choice(("commit", "rollback")))

    async def fail(self):
        """The error is its own, and so is what follows."""
        token = self.token()
        try:
            await self.random.choice((self.client.query, self.client.extended))(f"select '{token}'::int")
            raise AssertionError("no error")
        except ServerError as error:
            expect((error.sqlstate, token in error.fields["M"]), ("22P02", True))
        await self.simple()

    async def copy_in(self):
        n_rows = self.random.randint(0, 2000)
        self.client.send(query("copy crowd from stdin"))
        self.client.send(copy_data(f"{self.number}\t{self.n_steps}\n") * n_rows + COPY_DONE)
        await self.client.answer()
        wanted = [(str(n_rows),)]
        expect(await self.client.query(
            f"select count(*) from crowd where client = {self.number} and step = {self.n_steps}"), wanted)

    async def copy_out(self):
        token = self.token()
        self.client.send(query(f"copy (select '{token}' from generate_series(1, 1000)) to stdout"))
        lines = []
        while (message := await self.client.next()).letter != "Z":
            if message.letter == "d":
                lines.append(message.body)
        expect(lines, [f"{token}\n".encode()] * 1000)

    async def read_much(self):
        digit = self.random.randrange(10)
        expect(await self.client.query(f"select repeat('{digit}', 3000000)"), [(str(digit) * 3000000,)])

    async def send_cancel(self, secret):
        other = await Client.open(self.weir.port)
        other.send(struct.pack("!III", 12 + len(secret), 80877102, self.client.pid) + secret)
        await other.ended()
        other.drop()

    async def cancel(self):
        """Whether it waits for a server or has one. A request that overtakes the query stops nothing."""
        self.client.send(query("select pg_sleep(30)"))
        answer = asyncio.ensure_future(self.client.answer())
        while not answer.done():
            await self.send_cancel(self.client.secret)
            await asyncio.wait([answer], timeout=0.5)
        try:
            await answer
            raise AssertionError("not cancelled")
        except ServerError as error:
            expect(error.sqlstate, "57014")

    async def wrong_cancel(self):
        token = self.token()
        self.client.send(query(f"select pg_sleep(0.01), '{token}'"))
        await self.send_cancel(bytes(byte ^ 1 for byte in self.client.secret))
        expect(await self.client.answer(), [("", token)])

    async def lose_server(self):
        try:
            await self.client.query("select pg_terminate_backend(pg_backend_pid())")
            raise AssertionError("the server lives on")
        except ServerError as error:
            expect(error.sqlstate, "57P01")
        self.gone()

    async def leave(self):
        self.gone()

    async def leave_in_transaction(self):
        await self.client.query("begin")
        await self.client.query(f"insert into crowd values (-1, {self.n_steps})")
        self.gone()

    async def leave_in_query(self):
        self.client.send(query(f"begin; insert into crowd values (-1, {self.n_steps}); select pg_sleep(30)"))
        await asyncio.sleep(self.random.random() / 50)
        self.gone()

    async def leave_in_copy(self):
        self.client.send(query("copy crowd from stdin") + copy_data(f"-1\t{self.n_steps}\n"))
        await asyncio.sleep(self.random.random() / 50)
        self.gone()

    async def leave_in_message(self):
        data = query(f"insert into crowd values (-1, {self.n_steps})")
        self.client.send(query("begin") + data[:self.random.randrange(1, len(data))])
        await asyncio.sleep(self.random.random() / 50)
        self.gone()

    async def leave_politely(self):
        """What it asked for before its Terminate is done."""
        self.client.send(query(f"insert into crowd values (-2, {self.number})") + TERMINATE)
        await self.client.ended()
        found = await asyncio.to_thread(
            postgres.psql, f"delete from crowd where client = -2 and step = {self.number} returning 1")
        expect(found, "1")
        self.gone()

    async def pause(self):
        await asyncio.sleep(self.random.random() / 50)


class CrowdTest(unittest.TestCase):
    def run_crowd(self, **options):
        seed = random.randrange(1 << 32)
        print(f"seed {seed}", flush=True)
        postgres.psql("truncate crowd")
        secrets = {"app": postgres.passwords["app"]}
        with Pooling([database(postgres)], secrets=secrets, default_pool_size=N_SERVERS, **options) as weir:
            files = proc.n_files(weir.pid)
            actors = [Actor(weir, number, seed) for number in range(N_CLIENTS)]
            deadline = time.monotonic() + scaled(4, 4, 120)
            asyncio.run(together([actor.run(deadline) for actor in actors], timeout=600))
            self.assertGreater(min(actor.n_steps for actor in actors), 0)
            self.assertEqual(postgres.psql("select count(*) from crowd where client = -1"), "0")
            # All servers are at rest, and nothing of the clients is left.
            wait_until(lambda: self.n_busy() == 0)
            servers = int(postgres.psql("select count(*) from pg_stat_activity where usename = 'app'", "postgres"))
            self.assertLessEqual(servers, N_SERVERS)
            wait_until(lambda: proc.n_files(weir.pid) <= files + servers)

    def n_busy(self):
        return int(postgres.psql(
            "select count(*) from pg_stat_activity where usename = 'app' and state <> 'idle'", "postgres"))

    def test_transaction_mode(self):
        for reactors in (1, 4) if SANITIZER != "thread" or SOAK else (4,):
            with self.subTest(reactors=reactors):
                self.run_crowd(reactors=reactors)

    def test_session_mode(self):
        """Most of the time most of them wait for somebody to leave."""
        self.run_crowd(pool_mode="session", engine="epoll")


if __name__ == "__main__":
    unittest.main()
