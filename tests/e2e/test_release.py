"""A server is given back exactly when nothing of its client is left on it: status I, no answer
outstanding, nothing unsent, the last byte forwarded ended a message. And what the pool modes make of
it.
"""

import os
import threading
import time
import unittest

from postgres import Postgres
from process import wait_until
from relay import RelayCase, ask
from scripted_server import (ScriptedServer, answer_with_number, command_complete, data_row, error, one_row,
                             ready, row_description)
from wire import (COPY_DONE, FLUSH, SYNC, TERMINATE, ServerError, batch, bind, copy_data, execute, frame,
                  parse, query)

PID = "select pg_backend_pid()"
N_MEGABYTES = 32
PROMPT_S = 5  # what nothing else would bring comes within this, on a busy machine too

postgres = None


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql("create table t (a int)")


def backends():
    """The processes that serve the user app."""
    return set(ask(postgres, "select pid from pg_stat_activity where usename = 'app'"))


def memory_of(pid):
    """The resident bytes of a process."""
    with open(f"/proc/{pid}/statm", encoding="ascii") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


class ReleaseCase(RelayCase):
    """weir in front of PostgreSQL, started anew for each test."""

    def relay(self, server=None, **options):
        return super().relay(server or postgres, **options)

    def assert_waits(self, client):
        """weir itself says that somebody waits for a server, and this one has heard nothing."""
        wait_until(lambda: self.weir.n_waiting() == 1)
        self.assertTrue(client.has_nothing())


class TransactionTest(ReleaseCase):
    """What holds a server, shown with the only one of a pool, and an onlooker who waits for it."""

    def setUp(self):
        postgres.psql("truncate t")
        self.relay()
        self.holder, self.onlooker = self.clients(2)

    def assert_held_until(self, *last):
        """The onlooker's query waits until the holder has sent these last messages, and sees what
        they did."""
        pid = self.pid
        self.onlooker.send(query(f"{PID}, (select count(*) from t)"))
        self.assert_waits(self.onlooker)
        self.holder.send(*last)
        answer = self.onlooker.answer()
        self.assertEqual(answer.rows[0][0], pid)
        return int(answer.rows[0][1])

    @property
    def pid(self):
        (pid,) = backends()
        return pid

    def test_transaction(self):
        self.holder.query("begin; insert into t values (1)")
        self.assertEqual(self.assert_held_until(query("commit")), 1)

    def test_failed_transaction(self):
        self.assertEqual(self.holder.query("begin; insert into t values (1); select 1/0").status, "E")
        self.assertEqual(self.assert_held_until(query("rollback")), 0)

    def test_batch_without_sync(self):
        self.holder.send(batch("insert into t values (1)"), FLUSH)
        self.holder.read_until("C")
        self.assertEqual(self.assert_held_until(SYNC), 1)

    def test_batch_that_failed(self):
        self.holder.send(batch("insert into t values (1)"), batch("select 1/0"), FLUSH)
        self.holder.read_until("E")
        self.assertEqual(self.assert_held_until(SYNC), 0)

    def test_suspended_portal(self):
        self.holder.send(parse("select generate_series(1, 9)"), bind(), execute(rows=1), FLUSH)
        self.holder.read_until("s")
        self.assert_held_until(execute(rows=1), SYNC)

    def test_copy_in(self):
        self.holder.send(query("copy t from stdin"))
        self.holder.read_until("G")
        self.holder.send(copy_data("1\n2\n"), SYNC, FLUSH)
        self.assertEqual(self.assert_held_until(COPY_DONE), 2)

    def test_copy_in_by_execute(self):
        """The Sync among the data has no answer: only the second one ends it."""
        self.holder.send(batch("copy t from stdin"), SYNC, copy_data("1\n"), COPY_DONE)
        self.holder.read_until("G")
        self.assertEqual(self.assert_held_until(SYNC), 1)

    def test_copy_that_failed_behind_syncs(self):
        """Whether it has swallowed them cannot be seen: weir asks, and the server is free."""
        self.holder.send(query("copy t from stdin"))
        self.holder.read_until("G")
        self.holder.send(SYNC, SYNC, copy_data("bad\n"))
        self.assertEqual(self.holder.answer().sqlstate, "22P02")
        self.assertEqual(self.onlooker.value(PID), self.pid)
        self.assertTrue(self.holder.has_nothing())

    def test_answer_that_is_not_read(self):
        """More than all buffers hold; the rest stays on the server until the client takes it."""
        self.holder.send(query("select repeat('x', 1000) from generate_series(1, 100000)"))
        self.holder.read_until("D")
        self.onlooker.send(query("select 1"))
        self.assert_waits(self.onlooker)
        self.assertEqual(self.holder.read_until("Z")[-1].body, b"I")
        self.assertEqual(self.onlooker.answer().value, "1")

    def test_half_a_late_message(self):
        """The COPY has failed and its Query is answered, but half of a CopyData is forwarded."""
        late = copy_data("1\n" * 1000)
        self.holder.send(query("copy t from stdin"))
        self.holder.read_until("G")
        self.holder.send(copy_data("bad\n"), late[:100])
        self.assertEqual(self.holder.answer().sqlstate, "22P02")
        self.assertEqual(self.assert_held_until(late[100:]), 0)
        self.assertEqual(self.holder.value("select 1"), "1")

    def test_pipeline(self):
        """Several Syncs at once are one stay on the server."""
        self.holder.send(*[batch(PID) + SYNC] * 50)
        pids = {self.holder.answer().value for _ in range(50)}
        self.assertEqual(pids, {self.pid})

    def test_next_server(self):
        """After each transaction the server is there for whoever comes first."""
        for _ in range(100):
            self.assertEqual(self.holder.value(PID), self.onlooker.value(PID))
        self.assertEqual(len(backends()), 1)


class TwoServersTest(ReleaseCase):
    def test_each_transaction_keeps_its_server(self):
        self.relay(pool_size=2)
        first, second, third = self.clients(3)
        pids = []
        for client in first, second:
            client.query("begin")
            pids.append(client.value(PID))
        third.send(query(PID))
        self.assert_waits(third)
        for _ in range(10):
            self.assertEqual([client.value(PID) for client in (first, second)], pids)
        self.assertNotEqual(*pids)
        second.query("commit")
        self.assertEqual(third.answer().value, pids[1])
        self.assertEqual(first.value(PID), pids[0])
        self.assertEqual(backends(), set(pids))


class ScriptedTest(ReleaseCase):
    """Answers cut where PostgreSQL would not cut them."""

    def setUp(self):
        self.server = self.enterContext(ScriptedServer(answer_with_number))
        self.relay(self.server)
        self.holder, self.onlooker = self.clients(2)
        self.holder.query("warm")
        self.session = self.server.session(0)
        self.server.answer = None

    def expect_query(self, number):
        return self.session.wait_for("Q", number).body[:-1].decode()

    def test_each_byte_of_the_answer(self):
        """Only with the very last byte is the server free, which other client ever waits."""
        answer = one_row(1) + ready("I")
        n_queries = 1
        for cut in range(len(answer)):
            self.holder.send(query("first"))
            self.assertEqual(self.expect_query(n_queries + 1), "first")
            self.session.send(answer[:cut])
            self.onlooker.send(query("second"))
            if cut > len(answer) - 8:
                self.assert_waits(self.onlooker)
            self.assertEqual(self.session.letters().count("Q"), n_queries + 1)
            self.session.send(answer[cut:])
            self.assertEqual(self.expect_query(n_queries + 2), "second")
            self.session.send(answer)
            for client in self.holder, self.onlooker:
                self.assertEqual(client.answer().rows, [("1",)])
            n_queries += 2

    def test_status(self):
        """Only I frees it; what the holder sends next goes to the same server before others."""
        for number, status in enumerate("TE", 2):
            self.holder.send(query("first"))
            self.expect_query(number)
            self.session.send(command_complete("BEGIN") + ready(status))
            self.assertEqual(self.holder.answer().status, status)
        self.onlooker.send(query("second"))
        self.assert_waits(self.onlooker)
        self.holder.send(query("end"))
        self.assertEqual(self.expect_query(4), "end")
        self.session.send(command_complete("ROLLBACK") + ready("I"))
        self.assertEqual(self.expect_query(5), "second")
        self.session.send(one_row(2) + ready("I"))
        self.assertEqual(self.onlooker.answer().value, "2")

    def test_pipeline(self):
        """The first ReadyForQuery of three does not free it."""
        self.holder.send((parse("a") + SYNC) * 3)
        self.session.wait_for("S", 3)
        self.onlooker.send(query("second"))
        for _ in range(2):
            self.session.send(frame("1") + ready("I"))
            self.holder.read_until("Z")
        self.assert_waits(self.onlooker)
        self.assertEqual(self.session.letters().count("Q"), 1)
        self.session.send(frame("1") + ready("I"))
        self.assertEqual(self.expect_query(2), "second")
        self.session.send(one_row(2) + ready("I"))
        self.assertEqual(self.onlooker.answer().value, "2")

    def test_goodbye_within_an_answer(self):
        """Who says it gets the answer to what came before as a whole."""
        self.holder.send(batch("insert"), FLUSH, TERMINATE)
        self.session.wait_for("E")
        answer = frame("1") + frame("2") + command_complete("INSERT 0 1")
        self.session.send(answer[:-5])
        self.weir.show("pools")
        self.session.send(answer[-5:])
        self.assertEqual([message.letter for message in self.holder.read_to_end()], ["1", "2", "C"])
        rolled_back = {"Q": command_complete("ROLLBACK") + ready("I"), "S": ready("I")}
        self.server.answer = lambda session, message: rolled_back.get(message.letter)

    def test_half_a_query(self):
        """A server that has seen the head of a message waits for its end."""
        self.holder.send(query("begin"))
        self.expect_query(2)
        self.session.send(command_complete("BEGIN") + ready("T"))
        self.holder.answer()
        whole = query("commit" + " " * 1000)
        self.holder.send(whole[:20])
        self.onlooker.send(query("second"))
        self.assert_waits(self.onlooker)
        self.holder.send(whole[20:])
        self.assertTrue(self.expect_query(3).startswith("commit"))
        self.session.send(command_complete("COMMIT") + ready("I"))
        self.assertEqual(self.expect_query(4), "second")
        self.session.send(one_row(2) + ready("I"))
        self.assertEqual(self.onlooker.answer().value, "2")

    def test_lone_sync(self):
        """A client without a server gets ReadyForQuery from weir, even if there is no server to get."""
        self.holder.send(query("first"))
        self.expect_query(2)
        n_bytes = len(self.session.received)
        for _ in range(3):
            self.onlooker.send(SYNC)
            self.assertEqual(self.onlooker.read_until("Z")[0].body, b"I")
        self.assertEqual(len(self.session.received), n_bytes)
        self.assertEqual(len(self.server.sessions), 1)
        self.session.send(one_row(1) + ready("I"))
        self.assertEqual(self.holder.answer().value, "1")

    def test_dropped_messages(self):
        """CopyData, CopyDone, CopyFail and Flush of a client without a server take none."""
        self.onlooker.send(copy_data("x"), COPY_DONE, frame("f", b"why\0"), FLUSH, SYNC)
        self.assertEqual([m.letter for m in self.onlooker.read_until("Z")], ["Z"])
        self.assertEqual(self.session.letters(), "Q")


class SlowServerTest(ReleaseCase):
    """A client that sends faster than its server reads is slowed down, and loses nothing."""

    def test_upload(self):
        server = self.enterContext(ScriptedServer(answer_with_number))
        self.relay(server)
        client = self.client()
        client.query("warm")
        session = server.session(0)
        session.pause()
        before = memory_of(self.weir.process.pid)
        data = bytes(range(256)) * 4096
        upload = copy_data(data) * N_MEGABYTES
        sender = threading.Thread(target=client.send, args=(query("copy"), upload))
        sender.start()
        sender.join(1)
        self.assertTrue(sender.is_alive(), f"{N_MEGABYTES} MB fit into the buffers of two sockets?")
        self.assertLess(memory_of(self.weir.process.pid) - before, 4 << 20)
        session.go_on()
        sender.join()
        session.wait_for("d", N_MEGABYTES)
        self.assertEqual(client.answer().value, "0")
        self.assertTrue(session.received.endswith(upload))

    def test_client_that_had_to_wait(self):
        """More came from it while it waited than is held for a client, less than stops it later."""
        server = self.enterContext(ScriptedServer(answer_with_number))
        self.relay(server)
        first, second = self.clients(2)
        first.query("warm")
        session = server.session(0)
        server.answer = None
        first.send(query("first"))
        session.wait_for("Q", 2)
        upload = copy_data("x" * 1000) * 2000
        sender = threading.Thread(target=second.send, args=(query("copy"), upload))
        sender.start()
        self.assert_waits(second)
        session.send(one_row(1) + ready("I"))
        session.wait_for("d", 2000)
        session.send(one_row(2) + ready("I"))
        self.assertEqual(second.answer().value, "2")
        sender.join()


class PipelineHoldTest(ReleaseCase):
    """A client that always has something outstanding does not keep its server from others."""

    def test_others_get_their_turn(self):
        self.relay(pipeline_hold="10ms")
        greedy, other = self.clients(2)
        for _ in range(5):
            greedy.send(batch("select 1"), SYNC)
        other.send(query("select 'other'"))
        deadline = time.monotonic() + PROMPT_S
        while other.has_nothing():
            self.assertLess(time.monotonic(), deadline, "the other client starves")
            greedy.send(batch("select 1"), SYNC)
            self.assertEqual(greedy.answer().value, "1")
        self.assertEqual(other.answer().value, "other")
        for _ in range(5):
            self.assertEqual(greedy.answer().value, "1")
        self.assertTrue(greedy.has_nothing())

    def test_copy_goes_on(self):
        """Its data comes while others have waited long, before it has begun and after."""
        postgres.psql("truncate t")
        self.relay(pipeline_hold=0)
        copier, other = self.clients(2)
        for data in b"", copy_data("1\n"):
            copier.send(query("select pg_sleep(0.05)"), query("copy t from stdin; copy t from stdin"), data)
            wait_until(lambda: self.weir.show("pools")[0]["sv_active"] == "1")
            other.send(query("select 'other'"))
            self.assert_waits(other)
            copier.read_until("G")
            copier.send(copy_data("1\n"), SYNC, COPY_DONE, copy_data("2\n"), COPY_DONE)
            self.assertEqual(copier.answer().status, "I")
            self.assertEqual(other.answer().value, "other")


class SessionTest(ReleaseCase):
    """pool_mode = "session": from the first query until the client leaves."""

    def test_no_server_before_the_first_query(self):
        """The one server is that of the pool's first login, which tells what servers are like."""
        self.relay(pool_size=1, pool_mode="session")
        clients = self.clients(20)
        self.assertLessEqual(len(backends()), 1)
        pid = clients[7].value(PID)
        for _ in range(5):
            self.assertEqual(clients[7].value(PID), pid)
        self.assertEqual(backends(), {pid})
        clients[3].send(query(PID))
        self.assert_waits(clients[3])
        clients[7].send(TERMINATE)
        self.assertEqual(clients[3].answer().value, pid)

    def test_nothing_is_left_for_the_next(self):
        self.relay(pool_size=1, pool_mode="session")
        first, second = self.clients(2)
        for sql in ("set application_name = 'first'", "set search_path = pg_catalog", "listen here",
                    "create temp table left_over (a int)", "prepare p as select 1",
                    "select pg_advisory_lock(7)", "declare c cursor with hold for select 1"):
            self.assertIsNone(first.query(sql).sqlstate, sql)
        pid = first.value(PID)
        second.send(query(PID))
        self.assert_waits(second)
        first.send(TERMINATE)
        self.assertEqual(second.answer().value, pid)
        for sql, value in (("show application_name", ""), ("show search_path", '"$user", public'),
                           ("select count(*) from pg_listening_channels()", "0"),
                           ("select to_regclass('left_over') is null", "t"),
                           ("select count(*) from pg_prepared_statements", "0"),
                           ("select count(*) from pg_cursors", "0"),
                           ("select count(*) from pg_locks where locktype = 'advisory'", "0")):
            self.assertEqual(second.value(sql), value, sql)

    def test_transaction_left_open(self):
        self.relay(pool_size=1, pool_mode="session")
        first, second = self.clients(2)
        first.query("begin; create table never (a int)")
        pid = first.value(PID)
        first.send(TERMINATE)
        self.assertEqual(second.value(PID), pid)
        self.assertEqual(second.value("select to_regclass('never') is null"), "t")

    def test_notification_while_idle(self):
        self.relay(pool_mode="session")
        client = self.client()
        client.query("listen news")
        for number in range(10):
            ask(postgres, f"notify news, '{number}'", database="app")
            message = client.read(PROMPT_S)
            self.assertEqual(message.body[4:], b"news\0" + str(number).encode() + b"\0")

    def test_server_that_ends_while_idle(self):
        self.relay(pool_mode="session")
        client = self.client()
        pid = client.value(PID)
        ask(postgres, f"select pg_terminate_backend({pid})")
        self.assertEqual(ServerError(client.read()).sqlstate, "57P01")
        self.assertIsNone(client.read())


class IdleInTransactionTest(ReleaseCase):
    def test_timeout_reaches_the_client_at_once(self):
        for mode in "transaction", "session":
            with self.subTest(mode):
                self.relay(pool_mode=mode)
                client, other = self.clients(2)
                client.query("begin; set local idle_in_transaction_session_timeout = '100ms'")
                self.assertEqual(ServerError(client.read(PROMPT_S)).sqlstate, "25P03")
                self.assertIsNone(client.read())
                self.assertEqual(other.value("select 1"), "1")


class StatementTest(ReleaseCase):
    """pool_mode = "statement": no statement needs the server of the last one."""

    def setUp(self):
        postgres.psql("truncate t")
        self.relay(pool_mode="statement")
        self.pid = self.client().value(PID)

    def assert_refused(self, *messages):
        """The client is told and closed; its server is rolled back and kept."""
        client, other = self.clients(2)
        client.send(*messages)
        came = client.read_to_end()
        refusal = came[-1].fields()
        self.assertEqual((refusal["S"], refusal["C"]), ("FATAL", "0A000"))
        self.assertEqual(refusal["M"], "transaction blocks are not allowed in statement mode")
        self.assertEqual(other.query(f"{PID}, (select count(*) from t)").rows, [(self.pid, "0")])
        self.assertEqual(backends(), {self.pid})

    def test_begin(self):
        self.assert_refused(query("begin"))

    def test_begin_in_other_words(self):
        self.assert_refused(query("start transaction read only"))
        self.assert_refused(query("insert into t values (1); begin; insert into t values (2)"))

    def test_begin_by_execute(self):
        self.assert_refused(batch("begin"), SYNC)

    def test_begin_with_work_behind(self):
        self.assert_refused(query("begin"), query("insert into t values (1)"))

    def test_several_statements_in_one_query(self):
        answer = self.client().query("select 1; insert into t values (1); select count(*) from t")
        self.assertEqual(answer.rows, [("1",), ("1",)])
        self.assertEqual(answer.status, "I")

    def test_batch(self):
        client = self.client()
        client.send(batch("insert into t values (1)"), batch("select count(*) from t"), SYNC)
        self.assertEqual(client.answer().rows, [("1",)])


if __name__ == "__main__":
    unittest.main()
