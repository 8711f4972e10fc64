"""Prepared statements through weir: what PostgreSQL itself answers, whichever server comes next."""

import random
import unittest

from differential import Chopper, send_in_bytes
from message import frame
from postgres import Postgres
from process import temporary_folder
from relay import SHARE, SOAK, Relay
from steps import Servers, Step, direct, prepared
from wire import (COPY_DONE, FLUSH, SYNC, Client, batch, bind, close, copy_data, copy_fail, describe,
                  execute, parse, query)

postgres = owner = None
LONG = "n" * 62


def setUpModule():
    global postgres, owner
    postgres = unittest.enterModuleContext(Postgres(autovacuum="off"))
    owner = unittest.enterModuleContext(direct(postgres))
    owner.query("create table t (a int)")


COUNT = query("select count(*) from t")
LEFT_OPEN = [Step(query("begin"), query("insert into t values (1)"))]

# Name, steps. After each step that ends outside a transaction the server may change.
TABLE = {
    "Parse, then Bind": [
        Step(parse("select $1::int + 1", "a"), describe("S", "a"), SYNC),
        Step(bind("4", name="a"), describe(), execute(), SYNC),
        Step(bind("5", name="a"), execute(), SYNC)],
    "two names of one text": [
        Step(parse("select 1", "a"), parse("select 1", "b"), SYNC),
        Step(close("S", "a"), SYNC),
        Step(bind(name="b"), execute(), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "same text, other types": [
        Step(parse("select $1", "a", [23]), parse("select $1", "b", [25]), SYNC),
        Step(describe("S", "a"), SYNC), Step(describe("S", "b"), SYNC)],
    "duplicate name": [
        Step(parse("select 1", "a"), SYNC),
        Step(parse("select 2", "a"), SYNC),
        Step(parse("select 1", "a"), bind(name="a"), execute(), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "duplicate name, twice in one batch": [
        Step(parse("select 1", "a"), parse("select 2", "a"), bind(name="a"), execute(), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "duplicate name, wrong text": [
        Step(parse("select 1", "a"), SYNC),
        Step(parse("selekt 2", "a"), SYNC),
        Step(parse("select 1; select 2", "a"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "duplicate name of a statement that is not valid any more": [
        Step(query("drop table if exists gone"), query("create table gone (a int)")),
        Step(parse("select * from gone", "a"), SYNC),
        Step(query("drop table gone")),
        Step(parse("select 2", "a"), SYNC)],
    "duplicate name in a transaction": [
        Step(parse("select 1", "a"), SYNC),
        *LEFT_OPEN,
        Step(parse("select 2", "a"), SYNC),
        Step(bind(name="a"), execute(), SYNC),
        Step(query("commit")), Step(COUNT)],
    "duplicate name in one batch with an INSERT": [
        Step(parse("select 1", "a"), SYNC),
        Step(batch("insert into t values (1)"), parse("select 2", "a"), batch("insert into t values (2)"), SYNC),
        Step(COUNT)],
    "duplicate name in a failed transaction": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("begin"), query("select 1/0"), parse("select 2", "a"), SYNC, parse("select 1", "b"), SYNC,
             query("rollback")),
        Step(bind(name="a"), execute(), SYNC), Step(bind(name="b"), execute(), SYNC)],
    "unknown names": [
        Step(bind(name="a"), SYNC), Step(describe("S", "a"), SYNC), Step(close("S", "a"), SYNC),
        Step(bind(), SYNC), Step(describe("S"), SYNC), Step(close("S"), SYNC)],
    "unknown name in a transaction": [
        *LEFT_OPEN, Step(bind(name="a"), execute(), SYNC), Step(query("commit")), Step(COUNT)],
    "unknown name in one batch with an INSERT": [
        Step(batch("insert into t values (1)"), bind(name="a"), execute(), SYNC), Step(COUNT)],
    "unknown unnamed statement in one batch with an INSERT": [
        Step(prepared("b", "insert into t values (1)"), close("S"), bind(), execute(), SYNC), Step(COUNT)],
    "names that look like ours": [
        Step(parse("select 1", "a"), parse("select 2", "weir_2"), SYNC),
        Step(bind(name="weir_2"), execute(), SYNC),
        Step(close("S", "weir_1"), close("S", "weir_2"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "Close, then Parse again": [
        Step(parse("select 1", "a"), SYNC),
        Step(close("S", "a"), parse("select 2", "a"), bind(name="a"), execute(), SYNC),
        Step(bind(name="a"), execute(), SYNC),
        Step(close("S", "a"), SYNC), Step(bind(name="a"), SYNC),
        Step(parse("select 1", "a"), bind(name="a"), execute(), SYNC)],
    "Close that an error prevents": [
        Step(parse("select 1", "a"), SYNC),
        Step(bind(name="no"), close("S", "a"), parse("select 2", "a"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "Close and Parse that an error prevents, in a row": [
        Step(parse("select 1", "a"), SYNC),
        Step(bind(name="no"), *[close("S", "a") + parse(f"select {i}", "a") for i in range(30)], SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "failed Parse": [
        Step(parse("selekt", "a"), bind(name="a"), execute(), SYNC),
        Step(bind(name="a"), SYNC),
        Step(parse("select 1", "a"), bind(name="a"), execute(), SYNC)],
    "failed Parse behind one that succeeds": [
        Step(parse("select 1", "a"), parse("selekt", "b"), parse("select 3", "c"), SYNC),
        Step(bind(name="a"), execute(), SYNC), Step(bind(name="b"), SYNC), Step(bind(name="c"), SYNC)],
    "Parse in a failed transaction": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("begin"), query("select 1/0"), parse("select 1", "b"), SYNC),
        Step(parse("select 1", "b"), SYNC), Step(parse("rollback", "c"), bind(name="c"), execute(), SYNC),
        Step(bind(name="b"), execute(), SYNC), Step(bind(name="c"), execute(), SYNC)],
    "statement with several texts": [Step(parse("select 1; select 2", "a"), SYNC), Step(bind(name="a"), SYNC)],
    "empty statement": [Step(parse("", "a"), SYNC), Step(bind(name="a"), execute(), SYNC),
                        Step(describe("S", "a"), SYNC)],
    "Parse that is no Parse": [
        Step(frame("P", b"a\0select 1\0"), bind(name="a"), SYNC), Step(frame("P", b"a\0select 1"), SYNC),
        Step(frame("P", b"asel"), SYNC), Step(bind(name="a"), SYNC),
        Step(frame("P", b"a\0select $1\0\0\2\0\0\0\x17"), SYNC), Step(bind(name="a"), SYNC)],
    "Bind that is no Bind": [
        Step(parse("select 1", "a"), SYNC), Step(frame("B", b"\0a\0\0\0\0\0\1"), SYNC),
        Step(frame("B", b"\0aaaaaaa"), SYNC), Step(frame("B", b"aaaaaaaa"), SYNC), Step(frame("D", b"Sa"), SYNC), Step(frame("C", b"Sa"), SYNC),
        Step(frame("D", b"Xa\0"), SYNC), Step(frame("C", b"Xa\0"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "too many values": [
        Step(parse("select $1::int", "a"), SYNC), Step(bind("1", "2", name="a"), SYNC),
        Step(bind("1", name="a"), execute(), SYNC)],
    "too many values, and the name goes in the same batch": [
        step for gone in (close("S", "a"), batch("deallocate a")) for step in (
            Step(parse("select $1::int", "a"), SYNC), Step(bind("1", "2", name="a"), gone, SYNC),
            Step(describe("S", "a"), gone, bind("1", "2", name="a"), SYNC), Step(bind("1", "2", name="a"), SYNC))],
    "errors that name what looks like ours": [
        Step(parse("select 1", "a"), parse("select 2", "b"), SYNC),
        Step(query("select * from weir_1")), Step(query('select "weir_2"')),
        Step(parse("select * from weir_1", "c"), SYNC)],
    "unnamed, over transactions": [
        Step(parse("select $1::int"), describe("S"), SYNC), Step(bind("1"), execute(), SYNC),
        Step(bind("2"), execute(), SYNC), Step(close("S"), SYNC), Step(bind("3"), execute(), SYNC)],
    "unnamed, dropped by a Query": [
        Step(parse("select 1"), SYNC), Step(query("select 2")), Step(bind(), execute(), SYNC)],
    "unnamed, dropped by a Query that fails": [
        Step(parse("select 1"), SYNC), Step(query("selekt 2")), Step(bind(), execute(), SYNC)],
    "unnamed, dropped by a Query that is empty": [
        Step(parse("select 1"), SYNC), Step(query("")), Step(bind(), execute(), SYNC)],
    "unnamed, in front of a Query that is skipped": [
        Step(parse("select 1"), SYNC), Step(bind(name="no"), query("select 2"), SYNC, n_ready=1),
        Step(bind(), execute(), SYNC)],
    "unnamed, dropped by a Parse that fails": [
        Step(parse("select 1"), SYNC), Step(parse("selekt 2"), SYNC), Step(bind(), execute(), SYNC)],
    "unnamed, in front of a Parse that is skipped": [
        Step(parse("select 1"), SYNC), Step(bind(name="no"), parse("select 2"), close("S"), SYNC),
        Step(bind(), execute(), SYNC)],
    "unnamed, not dropped by named ones": [
        Step(parse("select 1"), SYNC), Step(prepared("a", "select 2"), SYNC), Step(bind(), execute(), SYNC)],
    "unnamed, not dropped by DISCARD ALL in a batch": [
        Step(parse("select 1"), SYNC), Step(prepared("a", "deallocate all"), SYNC), Step(bind(), execute(), SYNC)],
    "DEALLOCATE": [
        Step(parse("select 1", "a"), parse("select 2", "B c"), parse("select 1", "a1"), SYNC),
        Step(query("deallocate A")), Step(bind(name="a"), SYNC), Step(query("deallocate a")),
        Step(query('DEALLOCATE PREPARE "B c" ;')), Step(bind(name="B c"), SYNC),
        Step(bind(name="a1"), execute(), SYNC), Step(parse("select 3", "a"), bind(name="a"), execute(), SYNC)],
    "DEALLOCATE in a transaction": [
        Step(parse("select 1", "a"), SYNC), Step(query("begin"), query("deallocate a"), bind(name="a"), SYNC,
                                                 query("rollback")), Step(bind(name="a"), SYNC)],
    "DEALLOCATE in a failed transaction": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("begin")), Step(query("select 1/0")), Step(query("deallocate a")), Step(query("rollback")),
        Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE in a transaction that fails in the same send": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("begin"), query("select 1/0"), query("deallocate a"), query("rollback")),
        Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE, and the name again in the same send": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("deallocate a"), parse("select 2", "a"), bind(name="a"), execute(), SYNC, query("deallocate a"),
             query("deallocate a"), bind(name="a"), SYNC)],
    "DEALLOCATE in a batch without its Sync": [
        Step(parse("select 1", "a"), SYNC),
        Step(parse("select 2", "b"), FLUSH, query("deallocate a"), bind(name="a"), SYNC), Step(bind(name="b"), SYNC)],
    "DEALLOCATE that is skipped": [
        Step(parse("select 1", "a"), SYNC), Step(bind(name="no"), query("deallocate a"), SYNC, n_ready=1),
        Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE behind a Close that is skipped": [
        Step(parse("select 1", "a"), SYNC),
        Step(bind(name="no"), close("S", "a"), SYNC, query("deallocate a"), bind(name="a"), SYNC)],
    "unnamed, dropped by a Query behind a Close that is skipped": [
        Step(parse("select 1"), SYNC),
        Step(bind(name="no"), close("S"), SYNC, query("select 2"), bind(), SYNC)],
    "unnamed, in front of a Parse that is skipped, in the same send": [
        Step(parse("select 1"), SYNC),
        Step(bind(name="no"), parse("select 2"), SYNC, bind(), execute(), SYNC, bind(name="no"), parse("select 3"),
             SYNC, batch("select 4"), SYNC), Step(bind(), execute(), SYNC)],
    "Bind that is skipped, and again": [
        Step(parse("select 1", "a"), parse("select 2"), SYNC),
        Step(bind(name="no"), bind(name="a"), SYNC, bind(name="a"), execute(), SYNC, bind(name="no"), bind(), SYNC,
             bind(), execute(), SYNC)],
    "Parse that fails, and again in the same send": [
        Step(parse("selekt", "a"), SYNC, parse("select 1", "a"), SYNC, bind(name="a"), execute(), SYNC,
             parse("selekt", "b"), SYNC, close("S", "b"), SYNC, bind(name="b"), SYNC)],
    "Close that is skipped, and Parse in the same send": [
        Step(parse("select 1", "a"), SYNC),
        Step(bind(name="no"), close("S", "a"), SYNC, parse("select 2", "a"), SYNC, bind(name="a"), execute(), SYNC)],
    "DEALLOCATE by Parse": [
        Step(parse("select 1", "a"), parse("select 2", "b"), SYNC),
        Step(parse("deallocate a"), bind(), describe(), execute(), parse("DEALLOCATE b"), bind(), execute(), SYNC),
        Step(bind(name="a"), SYNC), Step(bind(name="b"), SYNC), Step(batch("deallocate a"), SYNC),
        Step(parse("select 3", "a"), bind(name="a"), execute(), SYNC)],
    "DEALLOCATE by Parse that is skipped": [
        Step(parse("select 1", "a"), SYNC), Step(bind(name="no"), batch("deallocate a"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE by Parse in a failed transaction": [
        Step(parse("select 1", "a"), SYNC), Step(query("begin"), query("select 1/0"), batch("deallocate a"), SYNC,
                                                 query("rollback")), Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE ALL": [
        Step(parse("select 1", "a"), parse("select 2", "b"), SYNC), Step(query("deallocate all")),
        Step(bind(name="a"), SYNC), Step(bind(name="b"), SYNC),
        Step(parse("select 3", "a"), bind(name="a"), execute(), SYNC)],
    "DEALLOCATE ALL, and a name again in the same send": [
        Step(parse("select 1", "a"), SYNC),
        Step(query("deallocate all"), parse("select 3", "a"), bind(name="a"), execute(), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "DISCARD ALL, and more in the same send": [
        Step(parse("select 1", "a"), parse("select 2", "b"), SYNC),
        Step(query("discard all"), parse("select 3", "c"), bind(name="c"), execute(), SYNC, bind(name="a"), SYNC),
        Step(bind(name="c"), execute(), SYNC), Step(bind(name="b"), SYNC)],
    "DISCARD ALL that fails": [
        Step(parse("select 1", "a"), SYNC), Step(query("begin"), query("discard all"), query("rollback")),
        Step(bind(name="a"), execute(), SYNC)],
    "DEALLOCATE ALL by Execute": [
        Step(parse("select 1", "a"), parse("deallocate all", "b"), SYNC), Step(bind(name="b"), execute(), SYNC),
        Step(bind(name="a"), SYNC), Step(bind(name="b"), SYNC)],
    "DEALLOCATE ALL among other statements": [
        Step(parse("select 1", "a"), SYNC), Step(query("select 1; deallocate all; select 2")),
        Step(bind(name="a"), SYNC)],
    "COPY from": [
        Step(parse("copy t from stdin", "a"), SYNC),
        Step(bind(name="a"), execute(), FLUSH, copy_data("1\n"), COPY_DONE, SYNC),
        Step(bind(name="a"), execute(), FLUSH, copy_data("x\n"), copy_fail(), SYNC), Step(COUNT)],
    "COPY to": [
        Step(parse("copy (select generate_series(1, 9)) to stdout", "a"), SYNC),
        Step(bind(name="a"), execute(), SYNC)],
    "portals": [
        Step(query("begin"), parse("select generate_series(1, 9)", "a"), bind(name="a", portal="p"), SYNC),
        Step(execute("p", 4), close("S", "a"), execute("p", 4), SYNC), Step(execute("p", 4), describe("P", "p"), SYNC),
        Step(close("P", "p"), execute("p"), SYNC), Step(query("commit"))],
    "Flush in every place": [
        Step(FLUSH, parse("select 1", "a"), FLUSH, bind(name="a"), FLUSH, execute(), FLUSH, close("S", "a"), FLUSH,
             parse("select 1", "a"), FLUSH, SYNC), Step(FLUSH, bind(name="a"), FLUSH, SYNC)],
    "names of every length": [
        step for n in (1, 62, 63, 64, 65, 1000, 9000) for step in (
            Step(parse(f"select {n}", "x" * n), describe("S", "x" * n), SYNC),
            Step(bind(name="x" * n), execute(), SYNC), Step(close("S", "x" * n), SYNC),
            Step(bind(name="y" * n), SYNC), Step(describe("S", "y" * n), SYNC), Step(close("S", "y" * n), SYNC))],
    "names longer than Describe takes": [
        Step(parse("select 1", "x" * 16000), SYNC), Step(bind(name="x" * 16000), execute(), SYNC),
        Step(bind(name="y" * 16000), SYNC)],
    "long names of portals": [
        Step(prepared(f"a{n}", "select 1"), bind(name=f"a{n}", portal="p" * n), SYNC) for n in (1, 63, 64, 16000)],
    "names that are alike in their first 63 bytes": [
        Step(parse("select 1", LONG + "ab"), SYNC), Step(bind(name=LONG + "ac"), execute(), SYNC),
        Step(bind(name=LONG + "a"), execute(), SYNC), Step(bind(name=LONG + "b"), SYNC),
        Step(close("S", LONG + "ad"), SYNC), Step(bind(name=LONG + "ab"), SYNC)],
    "texts of every length": [
        step for n in (0, 1, 100, 2000, 2048, 10000, 65536, 100000, 1 << 20) for step in (
            Step(parse(f"select length('{'x' * n}')", "a"), SYNC),
            Step(bind(name="a"), execute(), close("S", "a"), SYNC),
            Step(parse(f"select length('{'x' * n}')"), SYNC))],
    "values of every length": [
        Step(parse("select length($1)", "a"), SYNC),
        *[Step(bind("x" * n, name="a"), execute(), SYNC) for n in (0, 1, 2000, 2048, 65536, 1 << 20)]],
    "unnamed texts of every length": [
        step for n in (0, 100, 65536, 1 << 19) for step in (
            Step(parse(f"select length('{'x' * n}')"), SYNC), Step(bind(), execute(), SYNC))],
}

# A pipeline with an error at every position, as three kinds of pipeline.
PIPELINE = [parse("select 1", "a"), describe("S", "a"), bind(name="a"), execute(), parse("select 2"), bind(), execute(),
            parse("insert into t values (1)", "b"), bind(name="b"), execute(), close("S", "a"),
            parse("select 3", "a"), bind(name="a"), execute()]
ERRORS = [bind(name="no"), parse("selekt"), parse("selekt", "c"), parse("select 4", "a"), execute("no"), batch("select 1/0")]


def after_pipeline():
    return [Step(bind(name="a"), execute(), SYNC), Step(bind(name="b"), SYNC), Step(bind(), SYNC), Step(COUNT)]


for at in range(len(PIPELINE) + 1):
    for number, wrong in enumerate(ERRORS):
        TABLE[f"error {number} at {at}"] = [Step(*PIPELINE[:at], wrong, *PIPELINE[at:], SYNC), *after_pipeline()]


def pipeline(n, end, at=None, wrong=b""):
    """n statements, each prepared and used, with this behind each and the error at its place."""
    parts = [prepared(f"s{i}", f"select {i}") + end for i in range(n)]
    if at is not None:
        parts.insert(at, wrong + end)
    return [Step(*parts, SYNC), Step(*[bind(name=f"s{i}") + execute() + end for i in range(n)], SYNC),
            *after_pipeline()]


for end, words, some in ((SYNC, "a Sync behind each", (0, 999)), (FLUSH, "a Flush behind each", (1,)),
                         (b"", "one Sync", (500,))):
    for n, places in ((1, range(2)), (10, range(11)), (1000, some)):
        TABLE[f"pipeline of {n}, {words}"] = pipeline(n, end)
        for at in places:
            TABLE[f"pipeline of {n}, {words}, error at {at}"] = pipeline(n, end, at, ERRORS[at % len(ERRORS)])


class TableTest(unittest.TestCase):
    """Each line directly and through weir."""

    @classmethod
    def setUpClass(cls):
        cls.asked = {}

    def ask(self, name):
        if name not in self.asked:
            owner.query("truncate t")
            with direct(postgres) as client:
                self.asked[name] = [step.play(client) for step in TABLE[name]]
        return self.asked[name]

    def compare(self, name, client, change=lambda: None, send=Client.send_all_it_takes):
        wanted = self.ask(name)
        owner.query("truncate t")
        for number, step in enumerate(TABLE[name]):
            came = step.play(client, send)
            if came != wanted[number]:
                at = next((i for i, pair in enumerate(zip(came, wanted[number])) if pair[0] != pair[1]), "end")
                self.fail(f"step {number} ({step}), answer {at}:\n{str(came[at:] if at != 'end' else came)[:500]}\n"
                          f"not\n{str(wanted[number][at:] if at != 'end' else wanted[number])[:500]}")
            if came and came[-1] == ("Z", b"I"):
                change()

    def chosen(self):
        names = list(TABLE)
        return names if SOAK else random.Random(5).sample(names, len(names) // SHARE)

    def test_one_server(self):
        with Relay(postgres, pool_size=1) as weir:
            for name in self.chosen():
                with self.subTest(name), weir.client() as client:
                    self.compare(name, client)

    def test_one_server_and_others(self):
        """Between two steps another client uses the server, with an unnamed statement of its own."""
        with Relay(postgres, pool_size=1) as weir, weir.client() as other:
            step = Step(prepared("a", "select 'named'"), close("S", "a"), batch("select 'unnamed'"), SYNC)

            def use():
                self.assertEqual([body for letter, body in step.play(other) if letter == "D"],
                                 [b"\0\1\0\0\0\5named", b"\0\1\0\0\0\7unnamed"])
            for name in self.chosen():
                with self.subTest(name), weir.client() as client:
                    self.compare(name, client, change=use)

    def test_changing_servers(self):
        with Relay(postgres, pool_size=2) as weir, Servers(weir) as servers:
            for name in self.chosen():
                with self.subTest(name), weir.client() as client:
                    self.compare(name, client, change=servers.change)

    def test_byte_by_byte(self):
        """Every message of both sides comes in as many pieces as it has bytes."""
        names = [name for name in self.chosen() if sum(len(step.data) for step in TABLE[name]) < 700]
        with temporary_folder() as folder, Chopper(postgres, folder) as chopper, \
                Relay(chopper, pool_size=1, unix_socket_dir=folder) as weir:
            path = f"{folder}/.s.PGSQL.{weir.address[1]}"
            for name in names if SOAK else random.Random(6).sample(names, len(names) // 3):
                with self.subTest(name), Client(path).log_in("app", "app") as client:
                    self.compare(name, client, send=send_in_bytes)

    def test_few_statements(self):
        for n in (1, 2):
            with Relay(postgres, pool_size=2, max_prepared_statements=n) as weir, Servers(weir) as servers:
                for name in self.chosen():
                    with self.subTest(name, n=n), weir.client() as client:
                        self.compare(name, client, change=servers.change)


if __name__ == "__main__":
    unittest.main()
