"""Replication clients: each has a server of its own, in every pool mode, within the limits."""

import contextlib
import os
import signal
import unittest

from message import startup
from pooling import ENGINE, Pooling, database
from postgres import Postgres, binary
from process import Process, temporary_folder, unprivileged, wait_until
from wire import COPY_DONE, SYNC, TERMINATE, Client, ServerError, copy_data, function_call, parse, query

SIZE = 2
WALSENDERS = "backend_type = 'walsender'"
FEW = "few"  # PostgreSQL itself lets no more in than the pool has: one too many shows as 53300


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres(wal_level="logical", max_wal_senders="20"))
    sql(f"alter role app replication; create role {FEW} login replication connection limit {SIZE} "
        f"password '{postgres.passwords['app']}'; create role plain login password '{postgres.passwords['app']}'")
    postgres.psql("create table rows (n int primary key); insert into rows select generate_series(1, 3)")
    postgres.psql("create publication rows for table rows", user="postgres")


def sql(text, where="postgres"):
    return postgres.psql(text, user="postgres", database=where)


def n_walsenders():
    return int(sql(f"select count(*) from pg_stat_activity where {WALSENDERS}"))


@contextlib.contextmanager
def weir(**keys):
    password = postgres.passwords["app"]
    databases = [database(postgres, "app", password=password),
                 database(postgres, "replication", password=password, dbname="app")]
    keys = {"default_pool_size": SIZE, "shutdown_timeout": "20s", "stats_users": "app"} | keys
    with Pooling(databases, secrets=dict.fromkeys(("app", FEW, "plain"), ""), **keys) as pooling:
        yield pooling


def come(pooling, replication="true", user="app", name="app", **parameters):
    client = Client(pooling.address)
    try:
        if replication:
            parameters["replication"] = replication
        return client.log_in(user, name, postgres.passwords["app"], **parameters)
    except BaseException:
        client.close()
        raise


def program(name, pooling, *words, user="app"):
    """A program of PostgreSQL that runs through weir."""
    return Process(unprivileged([binary(name), "-h", "127.0.0.1", "-p", str(pooling.port), "-U", user, "-v", *words]))


def check_success(process, signum=None):
    status = process.wait() if signum is None else process.stop(signum)
    if status != 0:
        raise AssertionError(f"ended with {status}:\n{process.output()}")


def of_replication(pooling, what="servers"):
    return [row for row in pooling.show(what) if row["replication"] != "none"]


def start_streaming(client):
    position = client.query("IDENTIFY_SYSTEM").rows[0][2]
    client.send(query(f"START_REPLICATION {position}"))
    client.read_until("W")


class WalsenderTest(unittest.TestCase):
    """What a walsender answers comes through as it comes without weir."""

    PHYSICAL = (
        query("IDENTIFY_SYSTEM"), query("SHOW wal_level"), query("TIMELINE_HISTORY 1"),
        query("CREATE_REPLICATION_SLOT own TEMPORARY PHYSICAL RESERVE_WAL"), query("READ_REPLICATION_SLOT own"),
        query("DROP_REPLICATION_SLOT own"), query("select 1"), query("nonsense"), query(""),
        parse("select 1") + SYNC, function_call(1299) + query("IDENTIFY_SYSTEM"),
        query("BASE_BACKUP ( CHECKPOINT 'fast', WAIT false )"),
    )
    LOGICAL = (
        query("IDENTIFY_SYSTEM"), query("select * from rows"), query("begin"),
        query("CREATE_REPLICATION_SLOT own TEMPORARY LOGICAL test_decoding (SNAPSHOT 'use')"),
        query("copy rows to stdout"), query("rollback"), query("copy rows from stdin") + copy_data("9\nx\n") + COPY_DONE,
        query("select 1/0; select 2"), query("set datestyle = german"), query("DROP_REPLICATION_SLOT own"),
        parse("select 1") + SYNC,
    )

    def letters(self, client, messages):
        """What comes for each, data messages in a row as one."""
        found = []
        for message in messages:
            client.send(message)
            came = [m.letter for m in client.read_until("Z")]
            found.append("".join(letter for at, letter in enumerate(came)
                                 if letter not in "dD" or letter != came[at - 1]))
        return found

    def check_as_without(self, pooling, replication, messages):
        with (come(pooling, replication) as through, Client((postgres.host, postgres.port)) as direct):
            direct.log_in("app", "app", postgres.passwords["app"], replication=replication)
            self.assertEqual(through.parameters, direct.parameters)
            self.assertEqual(self.letters(through, messages), self.letters(direct, messages))

    def test_commands(self):
        for mode, engine in (("session", "epoll"), ("transaction", ENGINE), ("statement", ENGINE)):
            with self.subTest(mode), weir(pool_mode=mode, engine=engine) as pooling:
                self.check_as_without(pooling, "true", self.PHYSICAL if mode == "transaction" else self.PHYSICAL[:3])
                self.check_as_without(pooling, "database", self.LOGICAL)

    def test_streams_end_from_either_side(self):
        with weir() as pooling, come(pooling) as client:
            start_streaming(client)
            client.send(COPY_DONE)
            self.assertEqual([m.letter for m in client.read_until("Z") if m.letter != "d"], ["c", "C", "C", "Z"])
            self.assertEqual(client.value("SHOW wal_level"), "logical")
            start_streaming(client)
            client.cancel()
            self.assertIn("57014", [m.fields()["C"] for m in client.read_until("Z") if m.letter == "E"])
            self.assertEqual(client.value("SHOW wal_level"), "logical")
            start_streaming(client)
            n_lines = len(postgres.process.lines)
            client.send(TERMINATE)
            client.read_to_end()
            wait_until(lambda: not of_replication(pooling))
        self.assertEqual([line for line in postgres.process.lines[n_lines:] if "FATAL" in line], [])

    def test_a_server_that_stops(self):
        with weir() as pooling, temporary_folder() as folder:
            with program("pg_receivewal", pooling, "-D", folder, "--no-loop") as receiver:
                receiver.wait_for("starting log streaming")
                wait_until(lambda: sql("select count(*) from pg_stat_replication where state = 'streaming'") == "1")
                with postgres.stopped():
                    self.assertNotEqual(receiver.wait(), 0)
            self.assertNotIn("broke the protocol", pooling.process.output())


class SettingsTest(unittest.TestCase):
    def test_its_server_has_them_from_the_start(self):
        with weir() as pooling:
            with come(pooling, "database", options="-c work_mem=3MB -c a.b=c\\ d", DateStyle="German",
                      application_name="sub") as client:
                self.assertEqual(client.parameters["DateStyle"], "German, DMY")
                self.assertEqual([client.value(f"show {name}") for name in ("work_mem", "a.b", "application_name")],
                                 ["3MB", "c d", "sub"])
                self.assertEqual({row["replication"]: row["link"] for row in of_replication(pooling)},
                                 {"logical": of_replication(pooling, "clients")[0]["id"]})
            with come(pooling, None) as other:
                self.assertEqual(other.parameters["DateStyle"], "ISO, MDY")
            with come(pooling, "false") as other:
                self.assertEqual(other.value("show work_mem"), "4MB")
            wait_until(lambda: of_replication(pooling) == [])

    def test_a_refusal_is_the_servers_and_nobody_elses(self):
        with weir() as pooling:
            for user, options, sqlstate in (("plain", "", "42501"), ("app", "-c nonsense=1", "42704")):
                with self.assertRaises(ServerError) as refusal:
                    come(pooling, "database", user=user, options=options)
                self.assertEqual(refusal.exception.sqlstate, sqlstate)
                with come(pooling, None, user=user) as client:
                    self.assertEqual(client.value("select 1"), "1")
            with self.assertRaises(ServerError) as refusal:
                come(pooling, name="nowhere")
            self.assertEqual(refusal.exception.sqlstate, "3D000")
            with self.assertRaises(ServerError) as refusal:
                come(pooling, "maybe")
            self.assertEqual(refusal.exception.sqlstate, "22023")


class LimitTest(unittest.TestCase):
    def setUp(self):
        self.n_lines = len(postgres.process.lines)

    def tearDown(self):
        refused = [line for line in postgres.process.lines[self.n_lines:] if "too many connections" in line]
        self.assertEqual(refused, [])

    def back_up(self, pooling, folder):
        return program("pg_basebackup", pooling, "-D", os.path.join(folder, "backup"), "-X", "stream", "-c", "fast",
                       "--no-sync", user=FEW)

    def block(self, stack, pooling):
        """Every server works for a client."""
        clients = [stack.enter_context(come(pooling, None, FEW, "replication")) for _ in range(SIZE)]
        for client in clients:
            client.query("begin")
        return clients

    def await_request(self, pooling):
        wait_until(lambda: of_replication(pooling, "clients") and not of_replication(pooling))

    def test_a_backup_evicts_what_is_idle(self):
        with weir() as pooling, temporary_folder() as folder:
            with contextlib.ExitStack() as stack:
                for client in self.block(stack, pooling):
                    client.query("commit")
            with self.back_up(pooling, folder) as backup:
                check_success(backup)
            with come(pooling, None, FEW, "replication") as client:
                self.assertEqual(client.value("select 1"), "1")

    def test_a_backup_waits_for_what_is_busy(self):
        with weir() as pooling, temporary_folder() as folder, contextlib.ExitStack() as stack:
            clients = self.block(stack, pooling)
            with self.back_up(pooling, folder) as backup:
                self.await_request(pooling)
                clients[0].query("commit")
                wait_until(lambda: len(of_replication(pooling)) == 1)
                clients[1].query("commit")
                check_success(backup)
            self.assertEqual(clients[0].value("select 1"), "1")

    def test_it_waits_in_vain(self):
        with weir(query_wait_timeout="200ms") as pooling, contextlib.ExitStack() as stack:
            clients = self.block(stack, pooling)
            with self.assertRaises(ServerError) as refusal:
                come(pooling, user=FEW, name="replication")
            self.assertEqual(refusal.exception.sqlstate, "53300")
            clients[0].query("commit")
            with come(pooling, None, FEW, "replication") as client:
                self.assertEqual(client.value("select 1"), "1")

    def leave_waiting(self, pooling):
        with contextlib.ExitStack() as stack:
            self.block(stack, pooling)
            client = Client(pooling.address)
            client.send(startup(user=FEW, database="replication", replication="true"), query("IDENTIFY_SYSTEM"))
            self.await_request(pooling)
            client.reset()
            wait_until(lambda: not of_replication(pooling, "clients"))

    def leave_idle(self, pooling):
        come(pooling, user=FEW, name="replication").reset()

    def leave_in_stream(self, pooling):
        client = come(pooling, user=FEW, name="replication")
        start_streaming(client)
        client.reset()

    def leave_unread(self, pooling):
        client = come(pooling, user=FEW, name="replication")
        client.send(query("BASE_BACKUP ( CHECKPOINT 'fast', WAIT false )"))
        client.read_until("H")
        client.reset()

    def leave_within_a_message(self, pooling):
        client = come(pooling, user=FEW, name="replication")
        start_streaming(client)
        client.send(copy_data(b"r" + bytes(33))[:10])
        client.reset()

    def test_nothing_is_left_of_one_that_is_killed(self):
        ways = (self.leave_waiting, self.leave_idle, self.leave_in_stream, self.leave_unread,
                self.leave_within_a_message)
        with weir() as pooling:
            for leave in ways:
                with self.subTest(leave.__name__):
                    leave(pooling)
                    wait_until(lambda: n_walsenders() == 0 and not of_replication(pooling))
                    with contextlib.ExitStack() as stack:
                        self.block(stack, pooling)  # all places are there


class StreamTest(unittest.TestCase):
    def tearDown(self):
        wait_until(lambda: n_walsenders() == 0)
        sql("select pg_drop_replication_slot(slot_name) from pg_replication_slots", "app")

    def test_wal(self):
        with weir() as pooling, temporary_folder() as folder:
            words = ("-D", folder, "-S", "wal", "--no-loop")
            with program("pg_receivewal", pooling, *words, "--create-slot") as creator:
                check_success(creator)
            with program("pg_receivewal", pooling, *words) as receiver:
                receiver.wait_for("starting log streaming")
                name = sql("select pg_walfile_name(pg_current_wal_lsn())")
                sql("create table if not exists filler (n int); select pg_switch_wal()")
                wait_until(lambda: os.path.exists(os.path.join(folder, name)))
                check_success(receiver, signal.SIGINT)
            wait_until(lambda: not of_replication(pooling))

    def test_rows_for_longer_than_others_may_be_idle(self):
        with weir(client_idle_timeout="300ms") as pooling:
            words = ("-d", "app", "-S", "decoded", "--no-loop")
            with program("pg_recvlogical", pooling, *words, "--create-slot", "-P", "test_decoding") as creator:
                check_success(creator)
            with program("pg_recvlogical", pooling, *words, "--start", "-f", "-") as receiver:
                receiver.wait_for("streaming initiated")
                with come(pooling, None) as idle:
                    self.assertIn("57P05", [m.fields()["C"] for m in idle.read_to_end() if m.letter == "E"])
                postgres.psql("insert into rows values (101), (102)")
                receiver.wait_for("INSERT: n\\[integer\\]:102")
                check_success(receiver, signal.SIGINT)

    def test_a_subscription(self):
        sql("create database copy")
        sql("create table rows (n int primary key)", "copy")
        rows = "select string_agg(n::text, ',' order by n) from rows"
        # A slot of the same cluster must be made beforehand: CREATE SUBSCRIPTION would wait for itself.
        sql("select pg_create_logical_replication_slot('copy', 'pgoutput')", "app")
        with weir(default_pool_size=4) as pooling:
            sql("create subscription copy connection "
                f"'host=127.0.0.1 port={pooling.port} dbname=app user=app' publication rows "
                "with (create_slot = false)", "copy")
            postgres.psql("delete from rows where n > 3; insert into rows values (4)")
            wait_until(lambda: sql(rows, "copy") == "1,2,3,4")
            self.assertGreaterEqual(len(of_replication(pooling)), 1)
            with come(pooling, None) as client:
                client.query("insert into rows values (5)")
            wait_until(lambda: sql(rows, "copy") == "1,2,3,4,5")
            sql("alter subscription copy disable", "copy")
            sql("alter subscription copy set (slot_name = none)", "copy")
            sql("drop subscription copy", "copy")

    def test_a_graceful_stop_ends_it(self):
        with contextlib.ExitStack() as stack:
            with weir(shutdown_timeout="1h") as pooling:
                client = stack.enter_context(come(pooling))
                start_streaming(client)
            errors = [m.fields()["C"] for m in client.read_to_end() if m.letter == "E"]
        self.assertEqual(errors, ["57P01"])


if __name__ == "__main__":
    unittest.main()
