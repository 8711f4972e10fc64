"""Limits are exact, and whoever is refused is told which limit and why; logins of every kind."""

import asyncio
import contextlib
import os
import re
import signal
import socket
import time
import unittest

from crowd import Client, allow_many_files, come_in, together
from message import startup
from pooling import Pooling, database, scaled
from postgres import Postgres
from process import write_file
from scripted_server import greeting, one_row, ready
from wire import ServerError, query

PASSWORD = "pass word"
PROMPT_S = 5  # what must come at once comes within this, on a slow machine too


def setUpModule():
    global postgres
    allow_many_files()
    postgres = unittest.enterModuleContext(Postgres())
    allow_each_method()


def allow_each_method():
    """PostgreSQL asks users whose names begin with the name of a method by that method."""
    path = os.path.join(postgres.data, "pg_hba.conf")
    with open(path, encoding="utf-8") as file:
        rest = file.read()
    methods = ("trust", "password", "md5", "scram-sha-256")
    lines = [f"host all {method.split('-')[0]}_user 127.0.0.1/32 {method}\n" for method in methods]
    write_file(path, "".join(lines) + rest)
    postgres.process.send(signal.SIGHUP)
    postgres.process.wait_for("reloading configuration files")


def sql(text):
    return postgres.psql(text, user="postgres", database="postgres")


def make_role(name, attributes=""):
    sql(f"create role {name} login password '{PASSWORD}' {attributes}")


def make_database(name, limit):
    sql(f"create database {name} connection limit {limit}")


class Watch:
    """Looks at pg_stat_activity all the time. Superusers are not subject to PostgreSQL's limits, so
    this connection is none of those counted. `where` tells which are; `most` is how many were seen."""

    def __init__(self, where):
        self.most = 0
        self._where = where

    async def __aenter__(self):
        self._client = await Client.connect(postgres.port, "postgres", "postgres", postgres.passwords["postgres"])
        self._task = asyncio.ensure_future(self._watch())
        return self

    async def _watch(self):
        while True:
            rows = await self._client.query(f"select count(*) from pg_stat_activity where {self._where}")
            self.most = max(self.most, int(rows[0][0]))

    async def __aexit__(self, *_):
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        self._client.drop()


async def refusal(coroutine):
    """The error that ends it."""
    try:
        await coroutine
    except ServerError as error:
        return error
    raise AssertionError("it went well")


class LimitCase(unittest.TestCase):
    def setUp(self):
        self.n_lines = len(postgres.process.lines)

    def check_no_refusal_of_postgres(self):
        refused = [line for line in postgres.process.lines[self.n_lines:] if "too many connections" in line]
        self.assertEqual(refused, [])

    def check_refused(self, error, sqlstate, pattern):
        self.assertEqual(error.fields["S"], "FATAL", error)
        self.assertRegex(error.sqlstate, f"^{sqlstate}$", error)
        self.assertRegex(error.fields["M"], pattern)


class PoolSizeTest(LimitCase):
    """PostgreSQL itself lets no more in than the pool has: a slot given free too early shows as 53300."""

    SIZE = 5

    async def visit(self, weir, number, deadline):
        """Comes, works and goes in one of several ways until the time is over."""
        ways = 4 * (self.commit, self.leave_open, self.end_server, self.leave_unread) + (self.leave_in_query,)
        while True:
            client = await Client.connect(weir.port, "few", "postgres")
            for _ in range(3):
                self.assertEqual(await client.query(f"select {number}"), [(str(number),)])
            await client.query("begin")
            self.assertEqual(await client.extended(f"select {number}"), [(str(number),)])
            await ways[number % len(ways)](client)
            if time.monotonic() > deadline:
                return

    async def commit(self, client):
        await client.query("commit")
        await client.close()

    async def leave_open(self, client):
        """Its transaction is rolled back, its server goes on."""
        client.drop()

    async def end_server(self, client):
        error = await refusal(client.query("select pg_terminate_backend(pg_backend_pid())"))
        self.check_refused(error, "57P01", "terminating connection")
        client.drop()

    async def leave_unread(self, client):
        """So much that its server is not worth keeping."""
        client.send(query("select repeat('x', 1000) from generate_series(1, 20000)"))
        await client.next()
        client.drop()

    async def leave_in_query(self, client):
        """Its backend must have been stopped before another is opened in its place."""
        client.send(query("select pg_sleep(30)"))
        client.drop()

    async def crowd(self, weir):
        deadline = time.monotonic() + scaled(2, 1.5, 60)
        async with Watch("usename = 'few'") as watch:
            await together(self.visit(weir, number, deadline) for number in range(500))
        self.assertEqual(watch.most, self.SIZE)

    def test_500_clients_at_once(self):
        make_role("few", f"connection limit {self.SIZE}")
        for reactors in (2, 8):
            with self.subTest(reactors=reactors), \
                    Pooling([database(postgres, "postgres")], secrets={"few": PASSWORD}, reactors=reactors,
                            default_pool_size=self.SIZE, server_lifetime="1s") as weir:
                asyncio.run(self.crowd(weir))
                self.check_no_refusal_of_postgres()


class ColdPoolTest(LimitCase):
    def test_one_login_for_all_who_come(self):
        """Clients that have asked nothing yet need no server but the first, whose greeting they get."""
        async def crowd(weir):
            clients = await together(Client.connect(weir.port, "cold", "postgres") for _ in range(50))
            n_servers = sql("select count(*) from pg_stat_activity where usename = 'cold'")
            await together(client.close() for client in clients)
            return int(n_servers)

        make_role("cold")
        with Pooling([database(postgres, "postgres")], secrets={"cold": PASSWORD}) as weir:
            self.assertEqual(asyncio.run(crowd(weir)), 1)


class SharedLimitTest(LimitCase):
    """Several pools under one limit of 2, which PostgreSQL has too: all of them get on."""

    LIMIT = 2

    async def load(self, weir, user, name, deadline):
        """How often, and what was the longest that a query took."""
        client = await Client.connect(weir.port, user, name)
        n_done, longest = 0, 0
        while time.monotonic() < deadline:
            before = time.monotonic()
            await client.query("select 1")
            n_done, longest = n_done + 1, max(longest, time.monotonic() - before)
        await client.close()
        return n_done, longest

    async def compete(self, weir, pools, where):
        deadline = time.monotonic() + scaled(1.5, 1.5, 30)
        async with Watch(where) as watch:
            busy = [self.load(weir, *pool, deadline) for pool in pools[:2] for _ in range(8)]
            late = [self.load(weir, *pool, deadline) for pool in pools[2:]]
            done = await together(busy + late)
        self.assertEqual(watch.most, self.LIMIT)
        for n_done, longest in done:
            self.assertGreater(n_done, 1)  # one is done by who starves, too, when the others have gone
            self.assertLess(longest, PROMPT_S)

    def check(self, databases, users, pools, where, **keys):
        secrets = {user: PASSWORD for user, _ in pools}
        with Pooling(databases, users=users, secrets=secrets, default_pool_size=self.LIMIT, **keys) as weir:
            asyncio.run(self.compete(weir, pools, where))
        self.check_no_refusal_of_postgres()

    def test_database(self):
        make_database("tight", self.LIMIT)
        users = ["tight1", "tight2", "tight3", "tight4"]
        for user in users:
            make_role(user)
        self.check([database(postgres, "tight", max_db_connections=self.LIMIT)], (),
                   [(user, "tight") for user in users], "datname = 'tight'")

    def test_user(self):
        make_role("narrow", f"connection limit {self.LIMIT}")
        names = ["first", "second", "third", "fourth"]
        self.check([database(postgres, name, dbname="postgres") for name in names],
                   [{"name": "narrow", "max_user_connections": self.LIMIT}],
                   [("narrow", name) for name in names], "usename = 'narrow'")

    def test_both(self):
        """Each pool needs room under a limit of its user and under one of its database."""
        sides = ("left", "right")
        for name in sides:
            make_database(f"{name}_side", self.LIMIT)
            make_role(f"{name}_hand", f"connection limit {self.LIMIT}")
        pools = [(f"{user}_hand", f"{name}_side") for name in sides for user in sides]
        self.check([database(postgres, f"{name}_side", max_db_connections=self.LIMIT) for name in sides],
                   [{"name": f"{user}_hand", "max_user_connections": self.LIMIT} for user in sides],
                   pools, "usename = 'left_hand'")


class ClientLimitTest(LimitCase):
    def test_max_client_conn(self):
        async def crowd(weir):
            coming = [Client.connect(weir.port, "app", "app") for _ in range(80)]
            came = await asyncio.gather(*coming, return_exceptions=True)
            inside = [client for client in came if isinstance(client, Client)]
            self.assertEqual(len(inside), 50)
            for error in came:
                if error not in inside:
                    self.check_refused(error, "53300", r"max_client_conn = 50\b")
            for leave in (Client.close, Client.hang_up):
                await leave(inside.pop())
                inside.append(await come_in(weir.port, "app", "app"))
            await together(client.query("select 1") for client in inside)
            await together(client.close() for client in inside)

        with Pooling([database(postgres)], secrets={"app": postgres.passwords["app"]}, max_client_conn=50) as weir:
            asyncio.run(crowd(weir))

    def test_max_pools(self):
        async def crowd(weir):
            for name in ("one", "two"):
                client = await Client.connect(weir.port, "app", name)
                await client.query("select 1")
                await client.close()
            error = await refusal(Client.connect(weir.port, "app", "three"))
            self.check_refused(error, "53300", r"max_pools = 2\b")
            await (await Client.connect(weir.port, "app", "two")).close()

        with Pooling([database(postgres, "*", dbname="app")], secrets={"app": postgres.passwords["app"]},
                     max_pools=2) as weir:
            asyncio.run(crowd(weir))


class TimeoutTest(LimitCase):
    LIMIT_MS = 300

    def check_time(self, before):
        passed = time.monotonic() - before
        self.assertGreaterEqual(passed, self.LIMIT_MS / 1000 - 0.02)
        self.assertLess(passed, self.LIMIT_MS / 1000 + PROMPT_S)

    def test_query_wait_timeout(self):
        async def crowd(weir):
            holder, waiting, later = [await Client.connect(weir.port, "app", "app") for _ in range(3)]
            await holder.query("begin")
            before = time.monotonic()
            error = await refusal(waiting.query("select 1"))
            self.check_refused(error, "53300", "query_wait_timeout")
            self.check_time(before)
            self.assertEqual(await waiting.ended(), [])
            later.send(b"Q\0\0\0\x0dselect 2\0")
            await holder.query("commit")
            self.assertEqual(await later.answer(), [("2",)])
            waiting.drop()
            await holder.close()
            await later.close()

        with Pooling([database(postgres)], secrets={"app": postgres.passwords["app"]}, default_pool_size=1,
                     query_wait_timeout=f"{self.LIMIT_MS}ms") as weir:
            asyncio.run(crowd(weir))

    def test_client_login_timeout(self):
        """Before there is a startup packet nobody knows what language the peer would understand."""
        packet = startup(user="app", database="app")
        sent = {b"": False, packet[:7]: False, packet[:-1]: False, packet: True, packet + b"p\0\0\0\x99": True}

        async def crowd(weir):
            await together(self.dawdle(weir, data, told) for data, told in sent.items())
            client = await Client.connect(weir.port, "app", "app", postgres.passwords["app"])
            await asyncio.sleep(2 * self.LIMIT_MS / 1000)  # that the login was in time counts, nothing later
            await client.query("select 1")
            await client.close()

        with Pooling([database(postgres)], secrets={"app": postgres.passwords["app"]}, auth_type="scram-sha-256",
                     client_login_timeout=f"{self.LIMIT_MS}ms") as weir:
            asyncio.run(crowd(weir))

    async def dawdle(self, weir, data, told):
        before = time.monotonic()
        client = await Client.open(weir.port)
        client.send(data)
        messages = await client.ended()
        client.drop()
        self.check_time(before)
        errors = [ServerError(message) for message in messages if message.letter == "E"]
        self.assertEqual(len(errors), int(told), data)
        if told:
            self.check_refused(errors[0], "08P01", "client_login_timeout")


class RefusedLoginTest(LimitCase):
    def test_client(self):
        """Who does not know a password learns neither which users there are nor which databases."""
        cases = [("app", "app", "wrong", "28P01", 'password authentication failed for user "app"'),
                 ("nobody", "app", "wrong", "28P01", 'password authentication failed for user "nobody"'),
                 ("app", "nowhere", "wrong", "28P01", 'password authentication failed for user "app"'),
                 ("app", "nowhere", postgres.passwords["app"], "3D000", 'database "nowhere" does not exist')]

        async def crowd(weir):
            for user, name, password, sqlstate, pattern in cases:
                with self.subTest(user=user, database=name, sqlstate=sqlstate):
                    error = await refusal(Client.connect(weir.port, user, name, password))
                    self.check_refused(error, sqlstate, pattern)

        for auth_type in ("scram-sha-256", "md5", "password"):
            with self.subTest(auth_type), Pooling([database(postgres)], auth_type=auth_type,
                                                  secrets={"app": postgres.passwords["app"]}) as weir:
                asyncio.run(crowd(weir))

    def test_server(self):
        """What no waiting would mend is told at once, to who waits and for a while to who comes."""
        sql("create database closed")
        sql("revoke connect on database closed from public")
        cases = [("wrong", database(postgres), "28P01"), (None, database(postgres, dbname="gone"), "3D000"),
                 (None, database(postgres, dbname="closed"), "42501")]

        async def crowd(weir, sqlstate):
            errors = await together(refusal(Client.connect(weir.port, "app", "app")) for _ in range(10))
            errors.append(await refusal(Client.connect(weir.port, "app", "app")))
            for error in errors:
                self.check_refused(error, sqlstate, "server login failed")

        for password, entry, sqlstate in cases:
            before = time.monotonic()
            with self.subTest(sqlstate), \
                    Pooling([entry], secrets={"app": password or postgres.passwords["app"]}) as weir:
                asyncio.run(crowd(weir, sqlstate))
                self.assertLess(time.monotonic() - before, PROMPT_S)

    def test_server_that_is_not_there_yet(self):
        """Clients wait for it, those that log in and those that have a query, and are served."""
        async def answer(reader, writer):
            over = (asyncio.IncompleteReadError, asyncio.CancelledError)
            with contextlib.closing(writer), contextlib.suppress(*over):
                await reader.readexactly(int.from_bytes(await reader.readexactly(4), "big") - 4)
                writer.write(greeting(1))
                while (head := await reader.readexactly(5))[:1] == b"Q":
                    await reader.readexactly(int.from_bytes(head[1:], "big") - 4)
                    writer.write(one_row("here") + ready("I"))

        async def crowd(weir, place):
            async def visit():
                client = await Client.connect(weir.port, "app", "app")
                rows = await client.query("select 1")
                await client.close()
                return rows
            visits = asyncio.gather(*(visit() for _ in range(20)))
            await asyncio.to_thread(weir.process.wait_for, r"[Rr]efused")
            async with await asyncio.start_server(answer, sock=place):
                self.assertEqual(await asyncio.wait_for(visits, PROMPT_S), [[("here",)]] * 20)

        with socket.create_server(("127.0.0.1", 0), backlog=1) as probe:
            port = probe.getsockname()[1]
        place = socket.socket()
        place.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        place.bind(("127.0.0.1", port))  # taken, but nobody listens
        entry = {"name": "app", "host": "127.0.0.1", "port": port}
        with Pooling([entry], secrets={"app": PASSWORD}, server_login_retry="50ms") as weir:
            asyncio.run(crowd(weir, place))

    def test_server_that_is_not_there_fails_fast(self):
        async def crowd(weir):
            error = await refusal(Client.connect(weir.port, "app", "app"))
            self.check_refused(error, "08[0-9A-Z]{3}", "[Rr]efused")

        with socket.socket() as place:
            place.bind(("127.0.0.1", 0))
            entry = {"name": "app", "host": "127.0.0.1", "port": place.getsockname()[1], "fail_fast": True}
            with Pooling([entry], secrets={"app": PASSWORD}) as weir:
                asyncio.run(crowd(weir))


class MethodTest(LimitCase):
    """Every way to ask a client, with every kind of secret, before every way that a server asks."""

    @classmethod
    def setUpClass(cls):
        users = ("trust_user", "password_user", "md5_user")
        sql("set password_encryption = 'md5';" + "".join(
            f"create role {user} login password '{PASSWORD}';" for user in users))
        make_role("scram_user")
        cls.stored = dict(line.split("|") for line in sql(
            "select rolname, rolpassword from pg_authid where rolname like '%_user'").split("\n"))

    async def log_in(self, weir, user):
        client = await Client.connect(weir.port, user, "postgres", PASSWORD)
        self.assertEqual(await client.query("select current_user"), [(user,)])
        await client.close()
        error = await refusal(Client.connect(weir.port, user, "postgres", PASSWORD + "x"))
        self.check_refused(error, "28P01", "password authentication failed")

    def test_all(self):
        secrets = {"plain": dict.fromkeys(self.stored, PASSWORD), "stored": self.stored}
        works = [("plain", "password"), ("plain", "md5"), ("plain", "scram-sha-256"), ("stored", "md5"),
                 ("stored", "password")]
        for kind, auth_type in works:
            with Pooling([database(postgres, "postgres")], secrets=secrets[kind], auth_type=auth_type) as weir:
                for user in self.stored:
                    if (kind, user) != ("stored", "password_user"):  # who would know its password?
                        with self.subTest(kind, auth_type=auth_type, user=user):
                            asyncio.run(self.log_in(weir, user))

    def test_scram_with_nothing_but_the_verifier(self):
        """Whoever proves to know the password gives weir what it needs to log in at the server."""
        secrets = {"scram_user": self.stored["scram_user"]}
        with Pooling([database(postgres, "postgres")], secrets=secrets, auth_type="scram-sha-256") as weir:
            asyncio.run(self.log_in(weir, "scram_user"))

    def test_verifier_that_is_not_the_servers(self):
        make_role("scram_other")
        verifier = sql("select rolpassword from pg_authid where rolname = 'scram_other'")
        sql(f"alter role scram_other password '{PASSWORD}'")  # the same password, another salt

        async def crowd(weir):
            error = await refusal(Client.connect(weir.port, "scram_other", "postgres", PASSWORD))
            self.check_refused(error, "28000", "verifier in auth_file differs from the server's")

        with Pooling([database(postgres, "postgres")], secrets={"scram_other": verifier},
                     auth_type="scram-sha-256") as weir:
            asyncio.run(crowd(weir))

    def test_trust(self):
        """Nobody is asked for a password; who comes in is for the server to say."""
        async def crowd(weir):
            client = await Client.connect(weir.port, "trust_user", "postgres")
            self.assertEqual(await client.query("select current_user"), [("trust_user",)])
            await client.close()
            error = await refusal(Client.connect(weir.port, "scram_user", "postgres"))
            self.check_refused(error, "28000", "the server asks for a password, and there is none")

        with Pooling([database(postgres, "postgres")]) as weir:
            asyncio.run(crowd(weir))


if __name__ == "__main__":
    unittest.main()
