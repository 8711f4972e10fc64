"""The console: what psql and other clients see there, and what may go wrong."""

import os
import re
import signal
import struct
import subprocess
import threading
import unittest

from postgres import Postgres
from relay import PROGRAM, Relay
from process import free_port, wait_until
from scripted_server import ScriptedServer, answer_with_number, command_complete, one_row, ready
from weir import Weir
from wire import FLUSH, SYNC, Client, ServerError, batch, copy_fail, function_call, query

LARGE = 30 << 20  # more than the kernel takes for one that does not read
COMMANDS = ("CLIENTS", "MEM", "POOLS", "REACTORS", "SERVERS", "STATE", "VERSION")
ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../..")
README = os.path.join(ROOT, "README.md")
MANUAL = os.path.join(ROOT, "docs/console.md")


def answer(session, message):
    if message.letter == "Q" and b"begin" in message.body:
        return command_complete("BEGIN") + ready("T")
    if message.letter == "Q" and b"large" in message.body:
        return one_row("x" * LARGE) + ready("I")
    return answer_with_number(session, message)


def names(description):
    """Of the columns of a RowDescription, with their types."""
    found, at = [], 2
    for _ in range(struct.unpack_from("!H", description)[0]):
        end = description.index(b"\0", at)
        found.append((description[at:end].decode(), struct.unpack_from("!I", description, end + 7)[0]))
        at = end + 19
    return found


def show(console, what):
    """The rows as dictionaries; numbers are numbers."""
    reply = console.query(f"SHOW {what}")
    if reply.errors:
        raise reply.errors[0]
    columns = names(reply.messages[0].body)
    return [{name: int(value) if oid == 20 else value for (name, oid), value in zip(columns, row)}
            for row in reply.rows]


class ConsoleTest(unittest.TestCase):
    def start(self, **keys):
        self.server = self.enterContext(ScriptedServer(answer))
        self.weir = self.enterContext(Relay(self.server, admin_users="app", stats_users="watcher", **keys))
        return self.console()

    def console(self, user="app", database="weir"):
        client = self.enterContext(self.weir.connect())
        return client.log_in(user, database)

    def test_who_comes_in(self):
        self.start()
        for user in ("app", "watcher"):
            for database in ("weir", "pgbouncer"):
                self.assertEqual(len(show(self.console(user, database), "VERSION")), 1)
        with self.assertRaises(ServerError) as raised:
            self.console("other")
        self.assertEqual(raised.exception.fields["S"], "FATAL")
        self.assertEqual(self.server.sessions, [])

    def test_greeting(self):
        console = self.start()
        self.assertRegex(console.parameters["server_version"], r"^15\.0 \(weir \d+\.\d+\.\d+\)$")
        self.assertLessEqual({"client_encoding", "server_encoding", "DateStyle", "TimeZone", "integer_datetimes",
                              "standard_conforming_strings"}, console.parameters.keys())

    def test_spellings(self):
        console = self.start()
        for text in ("show version", "SHOW VERSION;", " Show\n version ; ;"):
            reply = console.query(text)
            self.assertEqual((reply.tags, reply.status), (["SHOW"], "I"))
        for text in ("", " ", ";"):
            self.assertEqual([message.letter for message in console.query(text).messages], ["I", "Z"])

    def test_commands_that_do_not_exist(self):
        console = self.start()
        for text, sqlstate in (("select 1", "42601"), ("show", "42601"), ("show pools; show mem", "42601"),
                               ("reload", "0A000")):
            reply = console.query(text)
            self.assertEqual((reply.sqlstate, reply.status, reply.errors[0].fields["S"]), (sqlstate, "I", "ERROR"))
        for command in COMMANDS:
            self.assertIn(f"SHOW {command}", console.query("bla").errors[0].fields["H"])

    def test_extended_protocol(self):
        """One error, nothing more before the Sync; then all is well."""
        console = self.start()
        skipped = query("show version") + batch("show mem")
        console.send(batch("show version"), FLUSH, skipped, SYNC, query("show version"))
        letters = [message.letter for message in console.read_until("Z") + console.read_until("Z")]
        self.assertEqual(letters, ["E", "Z", "T", "D", "C", "Z"])
        console.send(function_call(1598), copy_fail(), SYNC)
        messages = console.read_until("Z") + console.read_until("Z")
        self.assertEqual([message.letter for message in messages], ["E", "Z", "Z"])
        self.assertEqual(messages[0].fields()["C"], "0A000")

    def test_many_commands_at_once(self):
        console = self.start(reactors=2)
        console.send(*(query(f"show {command}") for command in COMMANDS * 20))
        for _ in COMMANDS * 20:
            self.assertEqual(console.answer().status, "I")

    def test_query_without_an_end(self):
        console = self.start()
        console.send(b"Q" + struct.pack("!I", 8) + b"show")
        self.assertEqual(console.answer().sqlstate, "08P01")
        self.assertEqual(len(show(console, "VERSION")), 1)

    def test_clients_servers_pools(self):
        console = self.start(pool_size=1, reactors=2)
        with self.weir.client() as idle, self.weir.client() as working, self.weir.client() as waiting:
            idle.value("select 1")
            working.query("begin")
            waiting.send(query("select 2"))
            wait_until(lambda: show(console, "POOLS")[0]["cl_waiting"] == 1)

            pool, = show(console, "POOLS")
            self.assertEqual({name: pool[name] for name in ("database", "user", "pool_mode")},
                             {"database": "app", "user": "app", "pool_mode": "transaction"})
            self.assertEqual([pool[name] for name in ("cl_active", "cl_waiting", "sv_active", "sv_idle", "sv_login",
                                                      "sv_closing", "maxwait")], [2, 1, 1, 0, 0, 0, 0])
            self.assertGreater(pool["maxwait_us"], 0)

            server, = show(console, "SERVERS")
            self.assertEqual((server["type"], server["user"], server["database"], server["state"]),
                             ("S", "app", "app", "active"))
            self.assertEqual(server["remote_pid"], self.server.session(0).pid)

            clients = [row for row in show(console, "CLIENTS") if row["database"] == "app"]
            self.assertEqual(sorted(row["state"] for row in clients), ["active", "idle", "waiting"])
            by_state = {row["state"]: row for row in clients}
            self.assertEqual(by_state["active"]["link"], server["id"])
            self.assertEqual(by_state["active"]["id"], server["link"])
            self.assertEqual(by_state["active"]["remote_pid"], server["remote_pid"])
            self.assertEqual((by_state["idle"]["link"], by_state["waiting"]["link"]), ("", ""))
            self.assertGreater(by_state["waiting"]["wait_us"], 0)
            self.assertEqual({row["reactor"] for row in show(console, "CLIENTS")}, {0, 1})
            mine, = (row for row in show(console, "CLIENTS") if row["database"] == "weir")
            self.assertEqual((mine["user"], mine["link"]), ("app", ""))
            for row in (*clients, server):
                self.assertRegex(row["connect_time"], r"^\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\.\d{3} UTC$")

            working.query("commit")
            waiting.answer()
        wait_until(lambda: len(show(console, "CLIENTS")) == 1)
        wait_until(lambda: show(console, "POOLS")[0]["sv_idle"] == 1)
        server, = show(console, "SERVERS")
        self.assertEqual((server["state"], server["link"]), ("idle", ""))

    def test_reactors(self):
        console = self.start(reactors=3)
        with self.weir.client() as client:
            for number in range(10):
                client.value("select 1")
            rows = show(console, "REACTORS")
            self.assertEqual([row["reactor"] for row in rows], [0, 1, 2])
            self.assertEqual(sum(row["clients"] for row in rows), 2)
            self.assertEqual(sum(row["links"] for row in rows), 10)
            self.assertEqual(sum(row["logins"] for row in rows), 2)
            for row in rows:
                self.assertGreater(row["cpu_us"], 0)
                self.assertGreaterEqual(row["turns"], row["sleeps"])
        before = sum(row["bytes_received"] for row in rows)
        self.assertGreater(sum(row["bytes_received"] for row in show(console, "REACTORS")), before)

    def test_state(self):
        self.assertEqual(
            [tuple(row.values()) for row in show(self.start(), "STATE")],
            [(kind, 0, 0, 0) for kind in ("settings", "statements", "temp", "locks", "channels", "cursors",
                                          "sequences")])

    def test_columns_of_the_manual(self):
        with open(MANUAL, encoding="utf-8") as file:
            manual = dict(re.findall(r"^## SHOW (\w+)\n(.*?)(?=^## |\Z)", file.read(), re.MULTILINE | re.DOTALL))
        self.assertEqual(sorted(manual), sorted(COMMANDS))
        console = self.start()
        for command in COMMANDS:
            columns = {name for name, _ in names(console.query(f"SHOW {command}").messages[0].body)}
            self.assertLessEqual(columns, set(re.findall(r"`(\w+)`", manual[command])), command)

    def test_memory(self):
        console = self.start(arena={"chunk_size": "128kB", "chunks_count": 24})
        with self.weir.client() as client:
            client.value("select 1")
            rows = {row["name"]: row for row in show(console, "MEM")}
        self.assertEqual(rows["client"]["used"], 2)
        self.assertEqual(rows["server"]["used"], 1)
        self.assertEqual((rows["arena_chunk"]["size"], rows["arena_chunk"]["memtotal"]), (128 << 10, 3 << 20))
        self.assertLess(rows["arena_chunk"]["used"], 24)
        for row in rows.values():
            self.assertEqual(row["memtotal"], row["size"] * (row["used"] + row["free"]))
        self.assertGreater(rows["resident_page"]["memtotal"], 1 << 20)

    def test_both_forms_of_the_arena(self):
        for keys in ({"chunk_size": "64kB", "chunks_count": 48}, {"total_size": "3MB"}, {"total_size": 3 << 20}):
            with self.subTest(keys):
                row, = (row for row in show(self.start(arena=keys), "MEM") if row["name"] == "arena_chunk")
                self.assertEqual((row["size"], row["used"] + row["free"], row["memtotal"]), (64 << 10, 48, 3 << 20))

    def arena_chunks(self, console):
        row, = (row for row in show(console, "MEM") if row["name"] == "arena_chunk")
        return row["used"]

    def test_arena_that_is_used_up(self):
        """Slow readers lose, who asks little is served, and it all comes back."""
        console = self.start(pool_size=24, reactors=2, arena={"chunk_size": "64kB", "chunks_count": 16})
        slow = [self.enterContext(self.weir.client()) for _ in range(20)]
        for client in slow:
            client.send(query("large"))
        wait_until(lambda: len(show(console, "CLIENTS")) < 1 + len(slow))
        with self.weir.client() as reader:
            for _ in range(200):
                self.assertTrue(reader.value("select 1").isdigit())
        for client in slow:
            client.close()
        wait_until(lambda: self.arena_chunks(console) == 0)

    def test_clients_that_leave_before_their_answer(self):
        """Rounds come home to clients that have gone; a stop waits for them."""
        console = self.start(reactors=4)
        for round_number in range(50):
            left = []
            for command in COMMANDS:
                client = self.weir.connect()
                client.log_in("app", "weir")
                client.send(query(f"show {command}"))
                left.append(client)
            for client in left:
                client.reset() if round_number % 2 else client.close()
        wait_until(lambda: len(show(console, "CLIENTS")) == 1)
        for client in (self.console() for _ in range(20)):
            client.send(*(query(f"show {command}") for command in COMMANDS * 5))
        self.assertEqual(self.weir.process.stop(signal.SIGTERM), 0)

    def test_large_answers(self):
        console = self.start(reactors=2, max_client_conn=3000)
        clients = [self.enterContext(self.weir.client()) for _ in range(1000)]
        rows = show(console, "CLIENTS")
        self.assertEqual(len(rows), len(clients) + 1)
        self.assertEqual(len({row["id"] for row in rows}), len(rows))
        # One that does not read its answers keeps what memory it takes, and gives it back.
        console.send(*(query("show clients") for _ in range(50)))
        other = self.console()
        self.assertEqual(len(show(other, "CLIENTS")), len(clients) + 2)
        for _ in range(50):
            self.assertIn(len(console.answer().rows) - len(clients), (1, 2))
        self.assertLess(self.arena_chunks(other), 16)

    def test_while_clients_come_and_go(self):
        console = self.start(pool_size=2, reactors=4)
        stopping = threading.Event()

        def come_and_go():
            while not stopping.is_set():
                with self.weir.client() as client:
                    client.value("select 1")

        threads = [threading.Thread(target=come_and_go) for _ in range(4)]
        for thread in threads:
            thread.start()
        try:
            for _ in range(100):
                for command in COMMANDS:
                    show(console, command)
        finally:
            stopping.set()
            for thread in threads:
                thread.join()
        self.assertEqual(show(console, "REACTORS")[0]["violations"], 0)


class PsqlTest(unittest.TestCase):
    def test_configuration_of_the_readme(self):
        """It works as it stands there, but for the ports."""
        with open(README, encoding="utf-8") as file:
            text = file.read()
        config = re.search(r"^    weir = \{\n(    .*\n)+", text, re.MULTILINE).group()
        commands = re.findall(r"^    psql .*", text, re.MULTILINE)
        with Postgres() as postgres:
            port = free_port()
            config = config.replace("6432", str(port)).replace("5432", str(postgres.port))
            users = f'"app" "{postgres.passwords["app"]}"\n'
            with Weir(PROGRAM, config, files={"users": users}) as weir:
                weir.wait_until_ready()
                for command, expected in zip(commands, ("42\n", "")):
                    done = subprocess.run(command.replace("6432", str(port)) + " -XAtc 'select 6 * 7'" * bool(expected),
                                          shell=True, env=postgres.environment(), capture_output=True, text=True,
                                          check=False)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))
                    self.assertIn(expected or "pool_mode", done.stdout)
                for command in COMMANDS:
                    done = subprocess.run(["psql", "-X", "-h", "127.0.0.1", "-p", str(port), "-U", "app", "pgbouncer",
                                           "-c", f"show {command.lower()};"], env=postgres.environment(),
                                          capture_output=True, text=True, check=False)
                    self.assertEqual((done.returncode, done.stderr), (0, ""))


if __name__ == "__main__":
    unittest.main()
