"""What becomes of prepared statements on the servers of a pool: how many there are, who gets them, what
happens when they are stale or their client is lost."""

import os
import random
import select
import subprocess
import unittest

from message import frame
from pooling import Pooling, database, scaled
from postgres import Postgres
from process import Process, wait_until
from relay import ENGINE, SHARE, SOAK, Relay
from scripted_server import ScriptedServer, command_complete, data_row, ready
from steps import Servers, prepared
from wire import FLUSH, SYNC, TERMINATE, batch, bind, close, copy_data, copy_fail, describe, execute, parse, query

PIPELINE = os.environ["WEIR_PIPELINE"]
SEED = 4

postgres = None
COUNT = "select count(*) from pg_prepared_statements"


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres(autovacuum="off"))
    postgres.psql("create table t (a int)")


def ask(client, *messages):
    """The answer to a batch, with its Sync."""
    client.send(*messages, SYNC)
    return client.answer()


def run(client, name, *values):
    return ask(client, bind(*values, name=name), execute())


class ServerTest(unittest.TestCase):
    """What a server has, and that it heals when it has not what it should have."""

    def test_least_recently_used_goes(self):
        """100 statements, named and unnamed, one by one, in batches, and with errors among them."""
        for most in (1, 2, 60):
            with self.subTest(most), Relay(postgres, pool_size=1, max_prepared_statements=most) as weir, \
                    weir.client() as client:
                order = random.Random(SEED)
                for i in range(100):
                    self.assertIsNone(ask(client, parse(f"select {i}", f"s{i}")).sqlstate)
                for i in order.choices(range(100), k=200):
                    self.assertEqual(run(client, f"s{i}").value, str(i))
                    self.assertLessEqual(int(client.value(COUNT)), most)
                for _ in range(20):
                    chosen = order.choices(range(100), k=30)
                    answer = ask(client, *[bind(name=f"s{i}") + execute() for i in chosen])
                    self.assertEqual([int(row[0]) for row in answer.rows], chosen)
                    ask(client, *[bind(name=f"s{i}") + execute() for i in chosen[:9]], bind(name="no"),
                        *[bind(name=f"s{i}") + execute() for i in chosen])
                    self.assertLessEqual(int(client.value(COUNT)), most)

    def test_one_for_all(self):
        """Clients that prepare the same share it, under names of their own."""
        with Relay(postgres, pool_size=1) as weir, weir.client() as first, weir.client() as second:
            for client, name in ((first, "a"), (second, "b"), (first, "c")):
                self.assertEqual(ask(client, prepared(name, "select 1")).value, "1")
            self.assertEqual(first.value(COUNT), "1")
            self.assertEqual(ask(second, bind(name="a")).sqlstate, "26000")

    def test_names_of_ours(self):
        """Nobody gets at the statements of others by a name that looks like ours."""
        with Relay(postgres, pool_size=1) as weir, weir.client() as client, weir.client() as other:
            self.assertEqual(ask(client, prepared("a", "select 'secret'")).value, "secret")
            ours = client.value("select name from pg_prepared_statements")
            for attack in (bind(name=ours), describe("S", ours)):
                self.assertEqual(ask(other, attack).sqlstate, "26000")
            self.assertEqual([m.letter for m in ask(other, close("S", ours)).messages], ["3", "Z"])
            self.assertEqual(client.value(COUNT), "1")
            self.assertEqual(ask(other, prepared(ours, "select 'mine'")).value, "mine")
            self.assertEqual(run(client, "a").value, "secret")

    def test_deallocated_behind_our_back(self):
        """The statement is not there, once; then it is."""
        for sql in ("do $$ begin execute 'deallocate all'; end $$",
                    "do $$ declare n text; begin for n in select name from pg_prepared_statements loop "
                    "execute 'deallocate ' || n; end loop; end $$"):
            with self.subTest(sql), Relay(postgres, pool_size=1) as weir, weir.client() as client, \
                    weir.client() as other:
                ask(client, parse("select 1", "a"), parse("select 2", "b"))
                self.assertIsNone(other.query(sql).sqlstate)
                answer = run(client, "a")
                self.assertEqual(answer.sqlstate, "26000")
                self.assertEqual(answer.errors[0].fields["M"], 'prepared statement "a" does not exist')
                self.assertEqual([run(client, name).value for name in "ab"], ["1", "2"])

    def test_prepared_behind_our_back(self):
        with Relay(postgres, pool_size=1) as weir, weir.client() as client, weir.client() as other:
            self.assertEqual(ask(client, prepared("a", "select 1")).value, "1")
            for sql in ("prepare weir_1 as select 'other'; prepare weir_2 as select 'other'",
                        "deallocate weir_1; prepare weir_1 as select 'other'",
                        "do $$ begin execute 'deallocate weir_' || 1; execute 'prepare weir_' || 1 || "
                        "' as select 1'; end $$"):
                other.query(sql)
                self.assertEqual(run(client, "a").value, "1")

    def test_stale_plan(self):
        """The client is told, as it would be by PostgreSQL; what it prepares again works."""
        with Relay(postgres, pool_size=2) as weir, Servers(weir) as servers, weir.client() as client:
            client.query("drop table if exists wider; create table wider (a int); insert into wider values (1)")
            for _ in range(2):
                self.assertEqual(len(ask(client, prepared("a", "select * from wider"), close("S", "a")).rows[0]), 1)
                servers.change()
            ask(client, parse("select * from wider", "a"))
            client.query("alter table wider add b int")
            for _ in range(2):
                answer = run(client, "a")
                self.assertEqual((answer.sqlstate, answer.errors[0].fields["R"]), ("0A000", "RevalidateCachedQuery"))
                servers.change()
            self.assertEqual(len(run(client, "a").rows[0]), 2)

    def test_prepared_anew(self):
        """Who prepares behind the change is not given what servers had before."""
        with Relay(postgres, pool_size=2) as weir, Servers(weir) as servers, weir.client() as client, \
                weir.client() as other:
            client.query("drop table if exists wider; create table wider (a int); insert into wider values (1)")
            for _ in range(2):
                self.assertEqual(len(ask(client, prepared("a", "select * from wider"), close("S", "a")).rows[0]), 1)
                servers.change()
            client.query("begin; alter table wider add b int")
            self.assertIsNone(ask(client, parse("select * from wider", "mine")).sqlstate)
            self.assertEqual(len(run(client, "mine").rows[0]), 2)
            client.query("commit")
            for name in "bcd":
                self.assertIsNone(ask(other, parse("select * from wider", name)).sqlstate)
                self.assertEqual(len(run(other, name).rows[0]), 2)
                servers.change()

    def test_stale_plan_in_a_transaction(self):
        with Relay(postgres, pool_size=1) as weir, weir.client() as client:
            client.query("drop table if exists wider; create table wider (a int); insert into wider values (1)")
            ask(client, prepared("a", "select * from wider"))
            client.query("alter table wider add b int")
            client.query("begin; savepoint s")
            self.assertEqual(run(client, "a").sqlstate, "0A000")
            client.query("rollback to s")
            self.assertEqual(len(ask(client, close("S", "a"), prepared("a", "select * from wider")).rows[0]), 2)
            client.query("commit")

    def test_sees_through_to_one_segment(self):
        """What a server lacks, what makes room for it and what it is for come in one piece."""
        seen = []

        def answer(session, message):
            seen.append((message.letter, len(session.messages)))
            answers = {"P": frame("1"), "B": frame("2"), "C": frame("3"), "S": ready("I"),
                       "E": data_row(1) + command_complete("SELECT 1")}
            return answers.get(message.letter, b"")

        with ScriptedServer(answer) as server, Relay(server, max_prepared_statements=1) as weir, \
                weir.client() as client:
            ask(client, parse("select 1", "a"))
            ask(client, parse("select 2", "b"))
            self.assertEqual(server.session(0).letters(), "PSCPS")
            del seen[:]
            self.assertEqual(run(client, "a").value, "1")
            self.assertEqual([letter for letter, _ in seen], list("CPBES"))
            self.assertEqual([n for _, n in seen], [10] * 5)

    def test_unnamed_of_two_clients(self):
        """Each gets its own, also of one text with other types; a client that has none is told so."""
        with Relay(postgres, pool_size=1) as weir, weir.client() as first, weir.client() as second, \
                weir.client() as third:
            for i in range(20):
                for client, text in ((first, f"select 'first {i}'"), (second, f"select 'second {i}'")):
                    self.assertEqual([m.letter for m in ask(client, parse(text), describe("S")).messages],
                                     ["1", "t", "T", "Z"])
                self.assertEqual(ask(first, bind(), execute()).value, f"first {i}")
                self.assertEqual(ask(third, bind()).errors[0].fields["M"], "unnamed prepared statement does not exist")
                self.assertEqual(ask(second, bind(), execute()).value, f"second {i}")


class ModeTest(unittest.TestCase):
    def test_session_mode(self):
        """A session's names are its server's names."""
        with Relay(postgres, pool_size=1, pool_mode="session") as weir:
            for _ in range(2):
                with weir.client() as client:
                    self.assertEqual(ask(client, prepared("a", "select name from pg_prepared_statements")).value, "a")
                    self.assertIsNone(client.query("deallocate a").sqlstate)
                    self.assertEqual(run(client, "a").sqlstate, "26000")
                    ask(client, parse("select 1", "a"))

    def test_statement_mode(self):
        with Relay(postgres, pool_size=2, pool_mode="statement") as weir, weir.client() as client:
            for i in range(10):
                self.assertEqual(ask(client, prepared(f"s{i}", f"select {i}")).value, str(i))
            for i in range(10):
                self.assertEqual(run(client, f"s{i}").value, str(i))

    def test_off(self):
        """Names are what they are at the server that comes."""
        with Relay(postgres, pool_size=1, max_prepared_statements=0) as weir, weir.client() as client, \
                weir.client() as other:
            self.assertEqual(ask(client, prepared("a", "select name from pg_prepared_statements")).value, "a")
            self.assertEqual(ask(other, parse("select 1", "a")).sqlstate, "42P05")
            self.assertEqual(run(other, "a").value, "a")


class LostTest(unittest.TestCase):
    """Clients that go while it is not settled what their messages will have done."""

    def test_in_the_middle_of_a_message(self):
        """Nothing of it was sent: the server goes on at once."""
        whole = parse("select 1", "a")
        for part in (whole[:6], whole[:-1], query("deallocate a")[:-1]):
            with self.subTest(part), Relay(postgres, client_lost_drain_timeout="10min") as weir, \
                    weir.client() as other:
                pid = other.value("select pg_backend_pid()")
                with weir.client() as client:
                    ask(client, parse("select 2", "a"))
                    client.send(query("begin"))
                    client.answer()
                    client.send(part)
                self.assertEqual(other.value("select pg_backend_pid()"), pid)

    def test_with_a_pipeline_under_way(self):
        order = random.Random(SEED)
        with Relay(postgres, pool_size=2) as weir, weir.client() as other:
            for i in range(scaled(150, 100, 3000) // SHARE):
                names = [f"s{n}" for n in order.choices(range(6), k=4)]
                batches = [order.choice([parse(f"select {n}", n), close("S", n), prepared(n, f"select '{n}'"),
                                         bind(name=n) + execute(), parse("select 'unnamed'"), bind() + execute(),
                                         query(f"deallocate {n}"), query("discard all"), query("selekt"), SYNC, FLUSH,
                                         batch(f"deallocate {n}")])
                           for n in names for _ in range(3)]
                client = weir.client()
                client.send(b"".join(batches)[:order.randrange(600)])
                order.choice([client.close, client.reset, lambda: (client.send_all_it_takes(SYNC + TERMINATE),
                                                                   client.close())])()
                self.assertEqual(ask(other, prepared(f"o{i}", f"select '{names[0]}'")).value, names[0])
                self.assertEqual(ask(other, batch("select 'mine'")).value, "mine")
                self.assertEqual(ask(other, bind(), execute()).value, "mine")

    def test_unnamed_statement_behind_a_rollback(self):
        """The last ROLLBACK drops it, whatever an error before that gives back."""
        with Relay(postgres, pool_size=1, client_lost="finish") as weir, weir.client() as other:
            for lost in (prepared("s", "select pg_sleep(0.1)"), bind(name="no"), parse("select 'lost'")), \
                    (prepared("s", "select pg_sleep(0.1)"), parse("select 'lost'"), bind(name="no")):
                self.assertEqual(ask(other, batch("select 'mine'")).value, "mine")
                with weir.client() as client:
                    client.send(*lost)  # no Sync
                self.assertEqual(ask(other, bind(), execute()).value, "mine")

    def test_beyond_telling(self):
        """A COPY that failed with Syncs in it, and then a Close that weir would answer."""
        for behind in (close("S", "a"), parse("select 1", "b"), bind(name="a"), query("deallocate a")):
            with self.subTest(behind), Relay(postgres) as weir, weir.client() as other:
                with weir.client() as client:
                    ask(client, parse("select 1", "a"))
                    client.send(batch("copy t from stdin"), FLUSH)
                    client.read_until("G")
                    client.send(copy_data("x\n"), SYNC, SYNC, copy_fail(), behind, SYNC)
                    self.assertIn("E", [message.letter for message in client.read_until("E")])
                self.assertEqual(ask(other, prepared("a", "select 'other'")).value, "other")


class MemoryTest(unittest.TestCase):
    """Nobody takes so much that nothing is left for others."""

    def test_one_that_never_closes_any(self):
        """It is refused as PostgreSQL refuses: in its transaction, and its session goes on."""
        with Relay(postgres, pool_size=1, prepared_statements_memory="1MB") as weir, weir.client() as other:
            pid = other.value("select pg_backend_pid()")
            for text in "select 1", "select {} -- " + 20000 * "x":
                with self.subTest(text[:12]), weir.client() as client:
                    answer, i = None, 0
                    while answer is None or answer.sqlstate is None:
                        answer = ask(client, *[parse(text.format(n), f"s{n}") for n in range(i, i + 50)])
                        i += 50
                    self.assertEqual((answer.sqlstate, answer.status), ("53200", "I"))
                    self.assertEqual(ask(other, parse("select 2", "s")).errors, [])
                    self.assertEqual(run(other, "s").value, "2")
                    self.assertEqual(ask(other, close("S", "s")).errors, [])
                    self.assertEqual(ask(client, prepared("", "select 3")).value, "3")
                    client.query("begin")
                    self.assertEqual(ask(client, parse(text.format(0), "more")).status, "E")
                    self.assertEqual(client.query("commit").tags, ["ROLLBACK"])
                    self.assertEqual(ask(client, close("S", "s0"), parse(text.format(0), "more")).errors, [])
            self.assertEqual(other.value("select pg_backend_pid()"), pid)

    def test_long_ones_on_their_way(self):
        """All but the last byte of each has come: they share the memory, too, and give it back."""
        message = parse("select 1 -- " + 600000 * "x", "s")
        with Relay(postgres, pool_size=9, prepared_statements_memory="2MB") as weir:
            clients = [weir.client() for _ in range(9)]
            for client in clients:
                client.send(message[:-1])
            refused = []
            while len(refused) < 6:  # three fit
                told, _, _ = select.select([client.socket for client in clients], [], [], 20)
                client = next(client for client in clients if client.socket in told)
                self.assertEqual(client.read_until("E")[0].fields()["C"], "53200")
                refused.append(client)
                clients.remove(client)
            for client in clients:
                client.reset()
            wait_until(lambda: weir.show("pools")[0]["cl_active"] == "6")
            for client in refused:
                client.send(message[-1:], parse("select 2"), SYNC)  # skipped, up to the Sync
                self.assertEqual([answer.letter for answer in client.read_until("Z")], ["Z"])
                self.assertEqual(ask(client, message).errors, [])
                client.close()

    def test_longer_than_may_be(self):
        with Relay(postgres) as weir, weir.client() as client:
            for _ in range(2):
                answer = ask(client, parse("select 1 -- " + (17 << 20) * "x", "s"))
                self.assertEqual((answer.sqlstate, answer.status), ("53200", "I"))
            self.assertEqual(ask(client, prepared("s", "select 3")).value, "3")


class PgbenchTest(unittest.TestCase):
    def test_prepared(self):
        """pgbench prepares in a transaction and uses it in others, whichever server these get."""
        n = scaled(100, 20, 5000) // SHARE
        for reactors in (1, 2):
            with self.subTest(reactors=reactors), Pooling(
                    [database(postgres, password=postgres.passwords["app"])], default_pool_size=4, reactors=reactors,
                    engine=ENGINE) as weir:
                if reactors == 1:
                    subprocess.run(["pgbench", "-i", "-q"], env=weir.environment(postgres), check=True,
                                   capture_output=True, timeout=120)
                done = subprocess.run(["pgbench", "-n", "-S", "-M", "prepared", "-c", "64", "-j", "2", "-t", str(n)],
                                      env=weir.environment(postgres), check=False, capture_output=True, text=True,
                                      timeout=300)
                self.assertIn(f"actually processed: {64 * n}/{64 * n}", done.stdout, done.stderr)
                self.assertRegex(done.stdout, r"number of failed transactions: 0 \(")


class PipelineTest(unittest.TestCase):
    def test_pipelines(self):
        """8 clients with up to 10 batches under way, 2 servers with room for 60 of 100 statements. Rows carry
        the client's number, the batch's, and the client's setting."""
        n_batches = scaled(8000, 1000, 200000) // SHARE
        with Relay(postgres, pool_size=2, reactors=2, max_prepared_statements=60) as weir:
            where = f"host={weir.address[0]} port={weir.address[1]} user=app dbname=app application_name="
            clients = [self.enterContext(Process([PIPELINE, f"{where}{number}", *map(str, (number, n_batches, SEED))]))
                       for number in range(8)]
            for client in clients:
                self.assertEqual(client.wait(3600 if SOAK else 60), 0, f"seed {SEED}: {client.output()}")


if __name__ == "__main__":
    unittest.main()
