"""Who is hurt when a client or a server is lost in the middle of something: nobody else.

Each row of the table of lost clients (src/session/lost.c) is one test. Afterwards a new client looks
at the table, at the backend it got, and at whether anything of the lost one is left on it.
"""

import os
import random
import signal
import subprocess
import time
import unittest

import sequence
from differential import Server
from postgres import Postgres
from process import wait_until
from relay import SOAK, Relay, RelayCase, ask
from scripted_server import ScriptedServer, answer_with_number, data_row, one_row, ready, row_description
from wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, ServerError, batch, bind, copy_data, execute, parse, query)

RECORDED = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../subprojects/pgwire/tests/replies")
SEED = 5
PID = "select pg_backend_pid()"
SLEEP = "select pg_sleep(30)"
PROMPT_S = 15  # far below SLEEP, far above what a busy machine needs

postgres = server = None


def setUpModule():
    global postgres, server
    postgres = unittest.enterModuleContext(Postgres())
    server = Server(postgres)


def running(text):
    """The processes that run a query with this text."""
    return ask(postgres, f"select pid from pg_stat_activity where state = 'active' and query = '{text}'")


class LostCase(RelayCase):
    """One server; a client that is lost, and another that comes after it."""

    def relay(self, server=None, **options):
        return super().relay(server or postgres, **options)


class LostClientTest(LostCase):
    options = {}

    def setUp(self):
        postgres.psql("truncate t")
        self.relay(**self.options)
        self.lost = self.client()
        self.pid = self.lost.value(PID)

    def assert_clean(self, is_kept, n_rows):
        """A new client, who is in no transaction and meets no lock. is_kept: on the same backend."""
        with self.weir.client() as client:
            began = time.monotonic()
            pid = client.value(PID)
            self.assertLess(time.monotonic() - began, PROMPT_S)
            self.assertEqual(pid == self.pid, is_kept)
            answer = client.query("select now() = statement_timestamp(), count(*) from t")
            self.assertEqual(answer.rows, [("t", str(n_rows))])
            self.assertEqual(answer.status, "I")
            self.assertIsNone(client.query("begin; lock table t nowait; commit").sqlstate)
            self.assertEqual(client.value("select count(*) from pg_stat_activity"
                                          " where usename = 'app' and state like '%transaction%'"), "0")
            self.assertTrue(client.has_nothing())

    # Between and within messages

    def test_idle(self):
        self.lost.close()
        self.assert_clean(True, 0)

    def test_half_a_message(self):
        """Whatever came next would be taken for its rest."""
        self.lost.query("begin; insert into t values (1)")
        self.lost.send(query("insert into t values (2)")[:-5])
        self.lost.close()
        self.assert_clean(False, 0)

    def test_half_a_message_in_a_copy(self):
        self.lost.send(query("copy t from stdin"))
        self.lost.read_until("G")
        self.lost.send(copy_data("1\n"), copy_data("2\n" * 100)[:50])
        self.lost.close()
        self.assert_clean(False, 0)

    def test_half_a_first_message(self):
        """Nothing of it has been forwarded, or the server is closed: either way it was not run."""
        self.lost.send(query("insert into t values (1)")[:-3])
        self.lost.close()
        with self.weir.client() as client:
            self.assertEqual(client.value("select count(*) from t"), "0")

    # In a transaction

    def test_transaction(self):
        self.lost.query("begin; insert into t values (1)")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_transaction_by_reset(self):
        self.lost.query("begin; insert into t values (1); lock table t")
        self.lost.reset()
        self.assert_clean(True, 0)

    def test_failed_transaction(self):
        self.assertEqual(self.lost.query("begin; insert into t values (1); select 1/0").status, "E")
        self.lost.close()
        self.assert_clean(True, 0)

    # In a batch: a Sync would commit what it has done

    def test_batch_without_sync(self):
        self.lost.send(batch("insert into t values (1)"), FLUSH)
        self.lost.read_until("C")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_batch_without_sync_in_a_transaction(self):
        self.lost.query("begin; insert into t values (1)")
        self.lost.send(batch("insert into t values (2)"), FLUSH)
        self.lost.read_until("C")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_batch_that_nobody_saw_answered(self):
        self.lost.send(batch("insert into t values (1)"))
        self.lost.close()
        self.assert_clean(True, 0)

    def test_batch_that_skips(self):
        self.lost.send(batch("insert into t values (1)"), batch("select 1/0"), FLUSH)
        self.lost.read_until("E")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_batch_that_skips_in_a_transaction(self):
        self.lost.query("begin; insert into t values (1)")
        self.lost.send(batch("select 1/0"), FLUSH)
        self.lost.read_until("E")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_suspended_portal(self):
        self.lost.send(parse("select generate_series(1, 9)"), bind(), execute(rows=1), FLUSH)
        self.lost.read_until("s")
        self.lost.close()
        self.assert_clean(True, 0)

    # In a COPY

    def test_copy_in(self):
        self.lost.send(query("copy t from stdin"))
        self.lost.read_until("G")
        self.lost.send(copy_data("1\n"), copy_data("2\n"))
        self.lost.close()
        self.assert_clean(True, 0)

    def test_copy_in_by_execute(self):
        self.lost.send(batch("copy t from stdin"), FLUSH)
        self.lost.read_until("G")
        self.lost.send(copy_data("1\n"), SYNC)
        self.lost.close()
        self.assert_clean(True, 0)

    def test_copy_in_within_a_transaction(self):
        self.lost.query("begin; insert into t values (1)")
        self.lost.send(query("copy t from stdin"))
        self.lost.read_until("G")
        self.lost.close()
        self.assert_clean(True, 0)

    def test_copy_in_that_has_not_begun(self):
        """The server begins it only when the client has gone."""
        self.lost.send(query("select pg_sleep(0.2)"), query("copy t from stdin"), copy_data("1\n"))
        self.lost.send(TERMINATE)
        self.lost.close()
        self.assert_clean(True, 0)

    def test_terminate_in_a_copy(self):
        self.lost.send(query("copy t from stdin"))
        self.lost.read_until("G")
        self.lost.send(copy_data("1\n"), TERMINATE)
        self.assertEqual(self.lost.read_to_end(), [])
        self.assert_clean(True, 0)

    def test_copy_out(self):
        self.lost.send(query("copy (select pg_sleep(0.1)) to stdout"))
        self.lost.read_until("H")
        self.lost.close()
        self.assert_clean(True, 0)

    # Terminate: what came before it is carried out

    def test_terminate_behind_an_insert(self):
        self.lost.send(query("select pg_sleep(0.2); insert into t values (1)"), TERMINATE)
        self.lost.close()
        self.assert_clean(True, 1)

    def test_terminate_behind_a_batch(self):
        self.lost.send(query("select pg_sleep(0.2)"), batch("insert into t values (1)"), SYNC, TERMINATE)
        self.lost.close()
        self.assert_clean(True, 1)

    def test_terminate_while_others_wait(self):
        """Its query waits in the queue and is still carried out."""
        holder = self.client()
        holder.query("begin")
        self.lost.send(query("insert into t values (1)"), TERMINATE)
        self.lost.close()
        holder.query("commit")
        self.assert_clean(True, 1)

    def test_terminate_in_a_transaction(self):
        self.lost.send(query("begin; insert into t values (1)"), TERMINATE)
        self.assertEqual([m.letter for m in self.lost.read_to_end()], ["C", "C", "Z"])
        self.assert_clean(True, 0)

    def test_terminate_in_a_batch_without_sync(self):
        self.lost.send(batch("insert into t values (1)"), TERMINATE)
        self.lost.close()
        self.assert_clean(True, 0)

    def test_terminate_behind_a_copy_that_swallows_the_sync(self):
        """Its end is not answered before a Sync or Flush, which nobody else sends."""
        self.lost.send(batch("copy t from stdin"), SYNC, copy_data("1\n"), COPY_DONE, TERMINATE)
        self.assertEqual([m.letter for m in self.lost.read_to_end()], ["1", "2", "G", "C"])
        self.assert_clean(True, 0)

    def test_half_closed_behind_a_terminate(self):
        """Who still reads gets the answer."""
        self.lost.send(query("insert into t values (1)"), TERMINATE)
        self.lost.half_close()
        self.assertEqual([m.letter for m in self.lost.read_to_end()], ["C", "Z"])
        self.assert_clean(True, 1)

    # Waiting

    def test_waiting(self):
        """The query of a client that is lost while it waits for a server is never run."""
        holder, *others = self.clients(51)
        holder.query("begin")
        for client in others:
            client.send(query("insert into t values (1)"))
        wait_until(lambda: self.weir.n_waiting() == len(others))
        for client in others[:25]:
            client.close()
        for client in others[25:]:
            client.reset()
        wait_until(lambda: self.weir.n_waiting() == 0)
        holder.query("commit")
        self.assert_clean(True, 0)


class LostSessionTest(LostClientTest):
    """The same in session mode, where the server is reset besides."""

    options = {"pool_mode": "session"}
    test_waiting = test_terminate_while_others_wait = None  # the lost one has the only server

    def setUp(self):
        super().setUp()
        self.lost.query("set application_name = 'lost'; create temp table left_over (a int)")

    def assert_clean(self, is_kept, n_rows):
        super().assert_clean(is_kept, n_rows)
        with self.weir.client() as client:
            self.assertEqual(client.value("show application_name"), "")
            self.assertEqual(client.value("select to_regclass('left_over') is null"), "t")


class RandomTest(LostCase):
    """Scripts at random, broken off anywhere: whoever comes next finds a clean server."""

    def test_random_scripts(self):
        scripts = sequence.read(os.path.join(RECORDED, "random.txt"))[1]
        chance = random.Random(SEED)
        for mode in "transaction", "session", "statement":
            with Relay(postgres, pool_mode=mode, client_lost=chance.choice(("cancel", "finish"))) as weir:
                for script in scripts if SOAK else chance.sample(scripts, 15):
                    messages = [sequence.encoded(message, server.oids) for message in script.messages]
                    data = b"".join(messages[:chance.randrange(len(messages)) + 1])
                    if chance.random() < 0.1:
                        data = data[:-1]
                    with self.subTest(f"{script.name}, {len(data)} bytes, {mode}"):
                        self.break_off(weir, data, chance.choice(("close", "reset", "goodbye")))
                        self.assert_clean(weir)

    def break_off(self, weir, data, how):
        with weir.client() as client:
            client.send_all_it_takes(data)
            if how == "goodbye":
                client.send_all_it_takes(TERMINATE)
            else:
                getattr(client, how)()

    def assert_clean(self, weir):
        with weir.client() as client:
            answer = client.query("select now() = statement_timestamp(), count(*) from pg_locks"
                                  " where pid = pg_backend_pid() and relation = 't'::regclass")
            self.assertEqual((answer.rows, answer.status), ([("t", "0")], "I"))
            self.assertTrue(client.has_nothing())


class RunningQueryTest(LostCase):
    """What runs for a client that was cut off: client_lost and its limits."""

    def lose(self, end, **options):
        """The backend that ran SLEEP for a client that ended so."""
        self.relay(**options)
        client = self.client()
        client.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        (pid,) = running(SLEEP)
        getattr(client, end)()
        return pid

    def test_cancel(self):
        for end in "close", "reset", "half_close":
            with self.subTest(end):
                pid = self.lose(end)
                with self.weir.client() as client:
                    self.assertEqual(client.value(PID, PROMPT_S), pid)
                    self.assertTrue(client.has_nothing())
                self.assertEqual(running(SLEEP), [])

    def test_cancel_in_a_transaction(self):
        postgres.psql("truncate t")
        self.relay()
        client = self.client()
        client.query("begin; insert into t values (1)")
        pid = client.value(PID)
        client.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        client.close()
        with self.weir.client() as client:
            self.assertEqual(client.value(PID, PROMPT_S), pid)
            self.assertEqual(client.value("select count(*) from t"), "0")

    def test_cancel_with_more_behind(self):
        """A pipeline: the query that runs is cancelled, and the others are undone or not begun."""
        postgres.psql("truncate t")
        self.relay()
        client = self.client()
        client.send(batch("insert into t values (1)"), batch(SLEEP), batch("insert into t values (2)"))
        client.send(FLUSH)
        wait_until(lambda: running(SLEEP))
        client.close()
        with self.weir.client() as client:
            self.assertEqual(client.value("select count(*) from t", PROMPT_S), "0")

    def test_finish(self):
        """As PostgreSQL itself does it."""
        postgres.psql("truncate t")
        self.relay(client_lost="finish")
        client = self.client()
        pid = client.value(PID)
        sql = "insert into t select 1 from pg_sleep(0.5)"
        client.send(query(sql))
        wait_until(lambda: running(sql))
        client.close()
        with self.weir.client() as client:
            self.assertEqual(client.value(PID), pid)
            self.assertEqual(client.value("select count(*) from t"), "1")

    def big_answer(self, **options):
        """Whether the backend was kept whose client left with most of a large answer unread."""
        self.relay(client_lost="finish", client_lost_drain_timeout="10s", **options)
        client = self.client()
        pid = client.value(PID)
        client.send(query("select repeat('x', 1000) from generate_series(1, 20000)"))
        client.read_until("D")
        client.close()
        with self.weir.client() as client:
            return client.value(PID) == pid

    def test_large_answer(self):
        self.assertFalse(self.big_answer(client_lost_drain="64kB"))
        self.assertTrue(self.big_answer(client_lost_drain="1GB"))


class LostServerTest(LostCase):
    """A server that dies takes along only the client that it worked for."""

    def assert_refused(self, client, sqlstate, text):
        """What a client gets last."""
        came = client.read_to_end()
        self.assertEqual(came[-1].letter, "E", [m.letter for m in came])
        error = ServerError(came[-1])
        self.assertEqual(error.sqlstate, sqlstate)
        self.assertIn(text, str(error))

    def holders(self, n):
        """So many clients in a transaction, and their backends."""
        clients = self.clients(n)
        for client in clients:
            client.query("begin")
        return clients, [client.value(PID) for client in clients]

    def test_terminated_in_a_query(self):
        self.relay(pool_size=2)
        (first, second), pids = self.holders(2)
        idle = self.client()
        first.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        ask(postgres, f"select pg_terminate_backend({pids[0]})")
        self.assert_refused(first, "57P01", "terminating connection due to administrator command")
        self.assertEqual(second.value(PID), pids[1])
        self.assertNotIn(idle.value(PID), pids)

    def test_terminated_between_two_queries(self):
        self.relay()
        (client,), (pid,) = self.holders(1)
        ask(postgres, f"select pg_terminate_backend({pid})")
        self.assert_refused(client, "57P01", "terminating connection due to administrator command")

    def test_killed(self):
        """PostgreSQL ends all its backends then, each but the killed one with a reason."""
        self.relay(pool_size=2)
        (first, second), pids = self.holders(2)
        first.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        os.kill(int(pids[0]), signal.SIGKILL)
        self.assert_refused(first, "08006", "server closed the connection")
        last = second.read_to_end()[-1]
        self.assertIn(ServerError(last).sqlstate, ("57P02", "08006"))
        with self.weir.client() as client:
            self.assertEqual(client.value("select 1"), "1")

    def test_restart(self):
        """Whoever is in a transaction is told; who asks while PostgreSQL is away waits until it is
        back."""
        self.relay(pool_size=2)
        (holder,), _ = self.holders(1)
        idle, asker = self.clients(2)
        asker.value("select 1")
        with postgres.stopped():
            self.assert_refused(holder, "57P01", "terminating connection due to administrator command")
            asker.send(query("select 'back'"))
        self.assertEqual(asker.answer().value, "back")
        self.assertEqual(idle.value("select 1"), "1")

    def test_idle_server(self):
        self.relay()
        client = self.client()
        for _ in range(5):
            pid = client.value(PID)
            ask(postgres, f"select pg_terminate_backend({pid})")
            wait_until(lambda pid=pid: not ask(postgres, f"select 1 from pg_stat_activity where pid = {pid}"))
            self.assertNotEqual(client.value(PID), pid)

    def test_waiters(self):
        """One server, ten who wait for it, and it is killed: all are served by the next one."""
        self.relay()
        (holder,), (pid,) = self.holders(1)
        waiters = self.clients(10)
        for number, client in enumerate(waiters):
            client.send(query(f"select {number}"))
        wait_until(lambda: self.weir.n_waiting() == len(waiters))
        ask(postgres, f"select pg_terminate_backend({pid})")
        for number, client in enumerate(waiters):
            self.assertEqual(client.answer().value, str(number))
        self.assert_refused(holder, "57P01", "")

    def test_in_session_mode(self):
        self.relay(pool_mode="session")
        client, waiter = self.clients(2)
        pid = client.value(PID)
        waiter.send(query(PID))
        wait_until(lambda: self.weir.n_waiting() == 1)
        client.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        ask(postgres, f"select pg_terminate_backend({pid})")
        self.assert_refused(client, "57P01", "")
        self.assertNotEqual(waiter.answer().value, pid)


class ScriptedDeathTest(LostCase):
    """Servers that die where PostgreSQL does not."""

    def setUp(self):
        self.server = self.enterContext(ScriptedServer(answer_with_number))
        self.relay(self.server)
        self.client_, self.waiter = self.clients(2)
        self.client_.query("warm")
        self.server.answer = None

    def die(self, answer, how):
        """What a client gets whose server answers this and dies; a waiting one is served by another."""
        session = self.server.session(0)
        self.client_.send(query("select"))
        session.wait_for("Q", 2)
        self.waiter.send(query("select"))
        if answer:
            session.send(answer)
        self.server.answer = answer_with_number
        getattr(session, how)()
        try:
            came = self.client_.read_to_end()
        except EOFError:  # within a message
            came = []
        self.assertEqual(self.waiter.answer().value, "1")
        return came

    def assert_told(self, came, n_before):
        self.assertEqual(len(came), n_before + 1)
        self.assertEqual(ServerError(came[-1]).sqlstate, "08006")

    def test_no_answer(self):
        self.assert_told(self.die(b"", "finish"), 0)

    def test_reset(self):
        self.assert_told(self.die(b"", "reset"), 0)

    def test_between_messages(self):
        self.assert_told(self.die(row_description("a") + data_row("1"), "finish"), 2)

    def test_within_a_message(self):
        """Nothing can be said there: what the client has is half a message."""
        self.assertEqual(self.die(row_description("a") + data_row("1")[:-1], "finish"), [])

    def test_before_the_ready_for_query(self):
        self.assert_told(self.die(one_row("1"), "finish"), 3)

    def test_behind_the_answer(self):
        came = self.die(one_row("1") + ready("T"), "finish")
        self.assert_told(came, 4)


class CancelTest(LostCase):
    """CancelRequests of clients."""

    def test_right_query(self):
        self.relay(pool_size=2)
        first, second = self.clients(2)
        sqls = [f"select pg_sleep(30), {number}" for number in range(2)]
        for client, sql in zip((first, second), sqls):
            client.send(query(sql))
            wait_until(lambda sql=sql: running(sql))
        second.cancel()
        answer = second.answer(PROMPT_S)
        self.assertEqual((answer.sqlstate, answer.status), ("57014", "I"))
        self.assertTrue(running(sqls[0]))
        first.cancel()
        self.assertEqual(first.answer(PROMPT_S).sqlstate, "57014")
        self.assertEqual(first.value("select 1"), "1")

    def test_in_a_transaction(self):
        self.relay()
        client = self.client()
        client.query("begin")
        client.send(query(SLEEP))
        wait_until(lambda: running(SLEEP))
        client.cancel()
        answer = client.answer(PROMPT_S)
        self.assertEqual((answer.sqlstate, answer.status), ("57014", "E"))
        self.assertEqual(client.query("rollback").status, "I")

    def test_waiting(self):
        """It waits for a server, its wait ends, and its session goes on."""
        self.relay()
        holder, client = self.clients(2)
        holder.query("begin")
        for messages in (query("select 1"),), (batch("select 1"), SYNC):
            client.send(*messages)
            wait_until(lambda: self.weir.n_waiting() == 1)
            client.cancel()
            answer = client.answer()
            self.assertEqual((answer.sqlstate, answer.status), ("57014", "I"))
        holder.query("commit")
        self.assertEqual(client.value("select 1"), "1")

    def test_idle(self):
        """A cancel for a client that runs nothing hits nobody, though its last server works."""
        self.relay()
        idle, busy = self.clients(2)
        idle.value("select 1")
        busy.send(query("select pg_sleep(0.3)"))
        for _ in range(5):
            idle.cancel()
        self.assertIsNone(busy.answer().sqlstate)

    def test_wrong_key(self):
        self.relay()
        client = self.client()
        client.send(query("select pg_sleep(0.3)"))
        client.secret, right = bytes(byte ^ 1 for byte in client.secret), client.secret
        client.cancel()
        client.secret, client.pid = right, client.pid + 1
        client.cancel()
        self.assertIsNone(client.answer().sqlstate)

    def test_late(self):
        """The server is not given on while a cancel is on its way to it."""
        self.relay()
        first, second = self.clients(2)
        for _ in range(50):
            first.send(query("select 1"))
            first.cancel()
            first.answer()
            self.assertEqual(second.query("select count(*) from generate_series(1, 1000)").value, "1000")

    def test_psql(self):
        """^C."""
        self.relay()
        psql = subprocess.Popen(
            ["psql", "-X", "-h", "127.0.0.1", "-p", str(self.weir.address[1]), "-U", "app", "app", "-c", SLEEP],
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        wait_until(lambda: running(SLEEP))
        psql.send_signal(signal.SIGINT)
        self.assertIn("canceling statement due to user request", psql.communicate(timeout=PROMPT_S)[0])
        self.assertEqual(running(SLEEP), [])


if __name__ == "__main__":
    unittest.main()
