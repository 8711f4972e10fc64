"""What a session leaves behind on its server: settings and statements that SQL has prepared go with
their client, everything else is cleaned before anybody else gets the server.
"""

import unittest

from postgres import Postgres
from process import wait_until
from relay import SOAK, Relay, ask
from wire import SYNC, TERMINATE, batch, bind, describe, execute, function_call, parse, query

postgres = None


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql("""
        create table t (a int);
        create role r; grant r to app; grant all on t to r;
        create sequence s; grant all on s to public;
        create sequence own; grant all on own to public;
        create schema x; grant usage on schema x to public;
        create function hides_a_lock() returns void language plpgsql as
            $$ begin perform pg_advisory_lock(7); end $$;
        create function hides_a_setting() returns void language plpgsql as
            $$ begin perform set_config('work_mem', '77MB', false); end $$;
        create function hides_a_reported_setting() returns void language plpgsql as
            $$ begin perform set_config('TimeZone', 'Asia/Tokyo', false); end $$;
        create function hides_a_listen() returns void language plpgsql as
            $$ begin execute 'listen c'; end $$;
        create procedure sets() language plpgsql as
            $$ begin set work_mem = '66MB'; end $$;
    """, user="postgres")


def locks():
    return ask(postgres, "select objid from pg_locks where locktype = 'advisory'")


def one(client, sql):
    """The only value, or the error's SQLSTATE."""
    answer = client.query(sql)
    return answer.sqlstate or answer.value


class StateCase(unittest.TestCase):
    def relay(self, **keys):
        self.weir = self.enterContext(Relay(postgres, **{"pool_mode": "transaction"} | keys))
        return self.weir

    def client(self, **parameters):
        return self.enterContext(self.weir.client(**parameters))

    def pair(self, **keys):
        """Two clients of one server."""
        self.relay(**keys)
        return self.client(), self.client()

    def run_sql(self, client, *texts):
        for sql in texts:
            answer = client.query(sql)
            self.assertIsNone(answer.sqlstate, (sql, answer.errors))

    def run_batch(self, client, sql, *values, name=""):
        client.send(parse(sql, name), bind(*values, name=name), execute(), SYNC)
        answer = client.answer()
        self.assertIsNone(answer.sqlstate, (sql, answer.errors))
        return answer

    def state(self):
        return {row["kind"]: row for row in self.weir.show("state")}


class SettingsTest(StateCase):
    """Settings that the server does not report."""

    def check(self, owner, other, name, value, default):
        for _ in range(2):
            self.assertEqual(one(other, f"select coalesce(current_setting('{name}', true), '')"), default)
            self.assertEqual(one(owner, f"select current_setting('{name}', true)"), value)

    def test_set(self):
        owner, other = self.pair()
        for text, name, value, default in (
                ("set search_path = x, pg_catalog", "search_path", "x, pg_catalog", '"$user", public'),
                ("set statement_timeout = '77s'", "statement_timeout", "77s", "0"),
                ("SET SESSION work_mem TO '5MB'", "work_mem", "5MB", "4MB"),
                ("/* of an application */ set lock_timeout = 5", "lock_timeout", "5ms", "0"),
                ("set App.Tenant = 'it''s é'", "app.tenant", "it's é", ""),
                ("begin; set app.other = 'x'; commit", "app.other", "x", ""),
                ("set session characteristics as transaction isolation level serializable",
                 "default_transaction_isolation", "serializable", "read committed"),
                ("set temp_tablespaces = pg_default", "temp_tablespaces", "pg_default", ""),
                ("set plan_cache_mode = force_custom_plan", "plan_cache_mode", "force_custom_plan", "auto"),
                ("set idle_in_transaction_session_timeout = '99s'", "idle_in_transaction_session_timeout", "99s", "0"),
                ("set client_min_messages = warning", "client_min_messages", "warning", "notice"),
                ("select public.hides_a_reported_setting()", "TimeZone", "Asia/Tokyo", one(other, "show TimeZone")),
                ("select set_config('app.third', 'y', false)", "app.third", "y", ""),
                ("do $$ begin set enable_seqscan = off; end $$", "enable_seqscan", "off", "on"),
                ("call public.sets()", "work_mem", "66MB", "4MB")):
            with self.subTest(text):
                self.run_sql(owner, text)
                self.check(owner, other, name, value, default)
        self.check(owner, other, "search_path", "x, pg_catalog", '"$user", public')

    def test_extended_protocol(self):
        owner, other = self.pair()
        self.run_batch(owner, "set work_mem = '5MB'")
        self.check(owner, other, "work_mem", "5MB", "4MB")
        self.run_batch(owner, "select set_config('app.a', $1, false)", b"1")
        self.check(owner, other, "app.a", "1", "")

    def test_prepared_once_and_executed_later(self):
        owner, other = self.pair()
        owner.send(parse("select set_config('app.a', $1, false)", "p"), parse("set work_mem = '5MB'", "q"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.run_sql(other, "select 1")
        for name in ("p", "q"):
            owner.send(bind(*[b"1"] * (name == "p"), name=name), execute(), SYNC)
            self.assertIsNone(owner.answer().sqlstate)
        self.check(owner, other, "app.a", "1", "")
        self.check(owner, other, "work_mem", "5MB", "4MB")

    def send_cut(self, owner, other, message, cut):
        owner.send(message[:cut])
        other.send(SYNC)  # needs no server; when it is answered weir has the piece
        other.answer()
        owner.send(message[cut:])
        self.assertIsNone(owner.answer().sqlstate)

    def test_texts_in_pieces(self):
        """A text that the end of a buffer cuts says what others say, if it is not too long."""
        for keys in {}, {"max_prepared_statements": 0}:
            owner, other = self.pair(**keys)
            text, n = "/* a long one */ select 1; set app.cut{} = 'x{}'; select 2", 0
            for send in (query, lambda sql: parse(sql.split(";")[1]) + bind() + execute() + SYNC):
                for cut in range(1, 40, 5 if keys else 2):
                    self.send_cut(owner, other, send(text.format(n, n)), cut)
                    self.check(owner, other, f"app.cut{n}", f"x{n}", "")
                    n += 1
            for size, kept in (15000, True), (17000, False):
                self.send_cut(owner, other, query(f"set app.long{size} = 'x' /* {' ' * size} */"), 10)
                self.check(owner, other, f"app.long{size}", "x" if kept else "", "")

    def test_a_name_that_nobody_can_read(self):
        """The setting cannot be known, so it is lost; but nobody else gets it."""
        owner, other = self.pair()
        self.run_batch(owner, "select set_config($1, $2, false)", b"app.hidden", b"1")
        self.assertEqual(one(other, "select coalesce(current_setting('app.hidden', true), '')"), "")

    def test_undone(self):
        self.relay()
        owner, other = self.client(options="-c work_mem=3MB"), self.client()
        self.run_sql(owner, "begin; set work_mem = '5MB'; rollback")
        self.check(owner, other, "work_mem", "3MB", "4MB")
        self.run_sql(owner, "begin; set local work_mem = '5MB'; commit")
        self.check(owner, other, "work_mem", "3MB", "4MB")
        self.run_sql(owner, "set work_mem = '6MB'", "set statement_timeout = 5000")
        self.check(owner, other, "work_mem", "6MB", "4MB")
        for text in "reset work_mem", "set work_mem to default":
            self.run_sql(owner, "set work_mem = '6MB'", text)
            self.check(owner, other, "work_mem", "3MB", "4MB")
        self.check(owner, other, "statement_timeout", "5s", "0")
        self.run_sql(owner, "set work_mem = '6MB'", "reset all")
        self.check(owner, other, "work_mem", "3MB", "4MB")
        self.check(owner, other, "statement_timeout", "0", "0")

    def test_role(self):
        self.relay()
        owner, other = self.client(), self.client()
        for name in ("role", "session_authorization"):
            default = one(other, f"show {name}")
            self.run_sql(owner, f"set {name} = {'r' if name == 'role' else 'app'}", "set work_mem = '5MB'")
            for _ in range(2):
                self.assertEqual(one(other, "select current_user || current_setting('work_mem')"), "app4MB")
                self.assertEqual(one(owner, "select current_user || current_setting('work_mem')"),
                                 {"role": "r5MB", "session_authorization": "app5MB"}[name])
                self.assertEqual(one(other, f"show {name}"), default)
            self.run_sql(owner, "reset role", "reset session authorization")
            self.assertEqual(one(other, "select current_user"), "app")
            self.assertEqual(one(owner, "select current_user"), "app")

    def test_role_of_the_startup_packet(self):
        self.relay()
        owner, other = self.client(role="r"), self.client()
        for text, user in (("select 1", "r"), ("set role none", "app"), ("set work_mem = '5MB'", "app"),
                           ("reset role", "r"), ("begin; set role none; rollback", "r"),
                           ("begin; set role none", "app"), ("reset role", "r"), ("commit", "r"),
                           ("set role none", "app"), ("discard all", "r"), ("set role none", "app"),
                           ("set role r", "r"), ("set session authorization app", "app")):
            self.run_sql(owner, text)
            for _ in range(2):
                answer = owner.query("select current_user")
                self.assertEqual(answer.value, user, text)
                if answer.status == "I":
                    self.assertEqual(one(other, "select current_user"), "app")

    def test_one_in_each_transaction(self):
        """Of eight clients, each with its own, in one pipeline after the other."""
        self.relay(pool_size=2, reactors=2)
        clients = [self.client() for _ in range(8)]
        for round_ in range(5):
            for i, client in enumerate(clients):
                client.send(query(f"set app.me = '{i}.{round_}'"), query("select 1"),
                            batch("set statement_timeout = %d" % (1001 + i)), SYNC,
                            query("select current_setting('app.me') || current_setting('statement_timeout')"))
            for i, client in enumerate(clients):
                for _ in range(3):
                    self.assertIsNone(client.answer().sqlstate)
                self.assertEqual(client.answer().value, f"{i}.{round_}{1001 + i}ms")

    def test_what_needs_no_question(self):
        """A SET that the server reports, or that ends with its transaction."""
        owner, other = self.pair()
        before = self.state()
        self.run_sql(owner, "set application_name = 'x'", "set time zone 'Asia/Tokyo'", "begin",
                     "set local work_mem = '5MB'", "commit")
        self.run_batch(owner, "set application_name = 'y'")
        self.assertEqual(one(other, "show TimeZone"), one(self.client(), "show TimeZone"))
        self.assertEqual(one(owner, "show application_name"), "y")
        self.assertEqual(self.state(), before)

    def test_a_question_that_cannot_be_answered(self):
        """The client ends: it would not have what it has set. The server is clean."""
        owner, other = self.pair()
        postgres.psql("alter system set log_min_messages = warning", user="postgres")
        owner.send(query("set statement_timeout = 1"))
        messages = owner.read_until("ZE")
        try:
            answer = owner.query("select 1")
            state = answer.sqlstate
        except EOFError:
            state = None
        self.assertIn(state, (None, "08006"), messages)  # in a millisecond the questions may do
        self.assertEqual(one(other, "show statement_timeout"), "0")


class ContextTest(StateCase):
    """What is parsed behind a SET does not mean the same to others."""

    TEXT = "select '01/02/2024'::date - '2024-01-01'::date"
    MDY, DMY = "1", "31"

    def ask(self, client, name):
        client.send(bind(name=name), execute(), SYNC)
        return client.answer().value

    def check(self, owner, other, expected):
        self.assertEqual(self.ask(owner, "p"), expected)
        other.send(parse(self.TEXT, "p"), SYNC)
        self.assertIsNone(other.answer().sqlstate)
        self.assertEqual(self.ask(other, "p"), self.MDY)
        self.assertEqual(self.ask(owner, "p"), expected)
        self.assertEqual(self.ask(other, "p"), self.MDY)

    def test_set_in_the_same_send(self):
        owner, other = self.pair()
        owner.send(query("set DateStyle = 'ISO, DMY'"), parse(self.TEXT, "p"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.assertIsNone(owner.answer().sqlstate)
        self.check(owner, other, self.DMY)

    def test_set_in_the_same_batch(self):
        owner, other = self.pair()
        owner.send(parse("set DateStyle = 'ISO, DMY'"), bind(), execute(), parse(self.TEXT, "p"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.check(owner, other, self.DMY)

    def test_set_local(self):
        """PostgreSQL keeps what it has read under the SET LOCAL; weir reads it anew elsewhere."""
        owner, other = self.pair()
        self.run_sql(owner, "begin", "set local DateStyle = 'ISO, DMY'")
        owner.send(parse(self.TEXT, "p"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.assertEqual(self.ask(owner, "p"), self.DMY)
        self.run_sql(owner, "commit")
        other.send(parse(self.TEXT, "p"), SYNC)
        self.assertIsNone(other.answer().sqlstate)
        self.assertEqual(self.ask(other, "p"), self.MDY)

    def test_set_local_again(self):
        owner = self.pair()[0]
        self.run_sql(owner, "begin")
        for name, order, expected in ("p", "DMY", self.DMY), ("q", "MDY", self.MDY), ("r", "DMY", self.DMY):
            self.run_sql(owner, f"set local DateStyle = 'ISO, {order}'")
            owner.send(parse(self.TEXT, name), SYNC)
            self.assertIsNone(owner.answer().sqlstate)
            self.assertEqual(self.ask(owner, name), expected)
        self.assertEqual([self.ask(owner, name) for name in "pqr"], [self.DMY, self.MDY, self.DMY])

    def test_a_temporary_table_in_front(self):
        """The same text is about another table then, and for nobody else."""
        owner, other = self.pair()
        self.addCleanup(postgres.psql, "delete from t", user="postgres")
        postgres.psql("insert into t values (1)", user="postgres")
        self.run_sql(owner, "create temp table made_a_schema (a int)")
        for kind, value in ("int", "7"), ("text", "eight"):
            other.send(parse("select a from t", kind), SYNC)
            self.assertIsNone(other.answer().sqlstate)
            self.assertEqual(self.ask(other, kind), "1")
            self.run_sql(owner, "begin", f"create temp table t (a {kind})", f"insert into t values ('{value}')")
            owner.send(parse("select a from t", kind), SYNC)
            self.assertIsNone(owner.answer().sqlstate)
            self.assertEqual(self.ask(owner, kind), value)
            self.run_sql(owner, "commit")
            self.assertEqual(self.ask(other, kind), "1")

    def test_prepared_before_and_missing_behind_a_set(self):
        owner, other = self.pair(pool_size=2)
        for client in owner, other:
            client.send(parse(self.TEXT, "p"), SYNC)
            self.assertIsNone(client.answer().sqlstate)
        for client in owner, other:  # on two servers, at least one of which lacks it
            self.run_sql(client, "begin", "set local DateStyle = 'ISO, DMY'")
        for client in owner, other:
            self.assertIn(self.ask(client, "p"), (self.MDY, self.DMY))
        for client in owner, other:
            self.run_sql(client, "commit")
        for client in owner, other:
            self.run_sql(client, "begin")
        for client in owner, other:
            self.assertEqual(self.ask(client, "p"), self.MDY)
            self.run_sql(client, "commit")

    def test_unnamed(self):
        owner, other = self.pair()
        owner.send(parse(self.TEXT), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.run_sql(other, "select 1")
        self.assertEqual(self.ask(owner, ""), self.MDY)
        self.run_batch(other, "select 2")
        owner.send(parse("begin", "b"), bind(name="b"), execute(),
                   parse("set local DateStyle = 'ISO, DMY'", "s"), bind(name="s"), execute(), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.assertEqual(self.ask(owner, ""), self.DMY)
        owner.send(parse("commit", "c"), bind(name="c"), execute(), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.run_batch(other, self.TEXT)
        self.assertEqual(self.ask(owner, ""), self.MDY)

    def test_settings_of_our_own_drop_the_unnamed_statement(self):
        self.relay()
        owner, other = self.client(application_name="one"), self.client(application_name="two")
        owner.send(parse("select 1"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        other.send(describe("S", ""), SYNC)  # without one: another server's is dropped for it
        self.assertEqual(other.answer().sqlstate, "26000")
        for _ in range(2):
            self.assertEqual(self.ask(owner, ""), "1")


class CleanedTest(StateCase):
    """What cannot move with its client is gone when the next one comes."""

    KINDS = (
        ("create temp table left_behind (a int)", "select count(*) from pg_class where relname = 'left_behind'"),
        ("select 1 into temporary left_behind", "select count(*) from pg_class where relname = 'left_behind'"),
        ("create table pg_temp.left_behind (a int)", "select count(*) from pg_class where relname = 'left_behind'"),
        (r'create table U&"pg\005ftemp".left_behind (a int)',
         "select count(*) from pg_class where relname = 'left_behind'"),
        ("create temp view left_behind as select 1", "select count(*) from pg_class where relname = 'left_behind'"),
        ("create temp sequence left_behind", "select count(*) from pg_class where relname = 'left_behind'"),
        ("create type pg_temp.left_behind as (a int)", "select count(*) from pg_type where typname = 'left_behind'"),
        ("create function pg_temp.left_behind() returns int language sql as 'select 1'",
         "select count(*) from pg_proc where proname = 'left_behind'"),
        ("select pg_advisory_lock(7)", "select count(*) from pg_locks where locktype = 'advisory'"),
        ("select pg_try_advisory_lock_shared(7, 8)", "select count(*) from pg_locks where locktype = 'advisory'"),
        ("set idle_session_timeout = '99s'",
         "select count(*) from pg_settings where name = 'idle_session_timeout' and source = 'session'"),
        ("listen left_behind", "select count(*) from pg_listening_channels()"),
        ("declare left_behind cursor with hold for select 1", "select count(*) from pg_cursors where is_holdable"),
    )

    def check(self, owner, other, text, question, leave):
        pid = one(owner, "select pg_backend_pid()")
        leave(owner, text)
        self.assertEqual(one(other, question), "0", text)
        self.assertEqual(one(other, "select pg_backend_pid()"), pid)
        self.assertEqual(one(owner, question), "0", text)

    def check_all(self, leave):
        owner, other = self.pair()
        for text, question in self.KINDS:
            with self.subTest(text):
                self.check(owner, other, text, question, leave)
        self.assertEqual(locks(), [])
        counts = self.state()
        self.assertEqual([(kind, row["cleaned"]) for kind, row in counts.items() if row["cleaned"] != "0"],
                         [("settings", "1"), ("temp", "8"), ("locks", "2"), ("channels", "1"), ("cursors", "1")])
        self.assertEqual([(kind, row["moved"], row["undetected"]) for kind, row in counts.items()],
                         [(kind, "0", "0") for kind in counts])

    def test_simple(self):
        self.check_all(self.run_sql)

    def test_extended(self):
        self.check_all(self.run_batch)

    def test_in_a_block(self):
        def leave(client, text):
            self.run_sql(client, "begin", text, "commit")
        self.check_all(leave)

    def test_in_a_do(self):
        def leave(client, text):
            if not text.startswith(("declare", "select 1 into")):
                text = text.replace("select pg", "perform pg")
                self.run_sql(client, f"do $x$ begin {text}; end $x$")
        owner, other = self.pair()
        for text, question in self.KINDS:
            with self.subTest(text):
                self.check(owner, other, text, question, leave)

    def test_prepared_once_and_executed_later(self):
        owner, other = self.pair()
        for number, (text, question) in enumerate(self.KINDS):
            owner.send(parse(text, f"p{number}"), SYNC)
            self.assertIsNone(owner.answer().sqlstate)

        def leave(client, text):
            client.send(bind(name=f"p{number}"), execute(), SYNC)
            self.assertIsNone(client.answer().sqlstate)
        for number, (text, question) in enumerate(self.KINDS):
            self.run_sql(other, "select 1")
            with self.subTest(text):
                self.check(owner, other, text, question, leave)

    def test_made_where_the_search_path_says(self):
        first, other = self.pair()
        self.run_sql(first, "set search_path = PG_TEMP")
        for owner in first, self.client(search_path="nowhere, pg_temp"):
            self.run_sql(other, "select 1")
            self.run_sql(owner, "create table left_behind (a int)")
            self.assertEqual(one(other, "select count(*) from pg_class where relname = 'left_behind'"), "0")
        self.run_sql(first, "reset search_path", "begin")
        self.run_batch(first, "select set_config($1, $2, false)", "search_path", "pg_temp")
        self.run_sql(first, "create table left_behind (a int)", "commit")
        self.assertEqual(one(other, "select count(*) from pg_class where relname = 'left_behind'"), "0")

    def test_function_calls(self):
        owner, other = self.pair()
        pg_advisory_lock, set_config = 2880, 2078
        for call in function_call(pg_advisory_lock, "7"), function_call(set_config, "a.b", "mine", "f"):
            owner.send(call)
            self.assertIsNone(owner.answer().sqlstate)
            self.assertEqual(one(other, "select coalesce(current_setting('a.b', true), '')"), "")
            self.assertEqual(locks(), [])

    def test_all_at_once(self):
        owner, other = self.pair()
        owner.send(*[query(text) for text, _ in self.KINDS
                     if text.startswith(("create temp table", "select pg", "set", "listen", "declare"))],
                   query("set work_mem = '5MB'"), query("select 1"))
        for _ in range(8):
            self.assertIsNone(owner.answer().sqlstate)
        for _, question in self.KINDS:
            self.assertEqual(one(other, question), "0")
        self.assertEqual(one(owner, "show work_mem"), "5MB")

    def test_notifications(self):
        """Who listens is notified within its transaction; nobody is of what another has hidden."""
        def notified(client, sql):
            return [message.letter for message in client.query(sql).messages].count("A")
        owner, other = self.pair()
        self.run_sql(owner, "begin; listen c; notify c")
        self.assertEqual(notified(owner, "commit"), 1)
        self.run_sql(owner, "begin", "do $$ begin listen c; end $$", "notify c")
        self.assertEqual(notified(owner, "commit"), 1)
        self.run_sql(owner, "select hides_a_listen()")
        self.assertEqual(one(other, "select count(*) from pg_listening_channels()"), "1")
        self.assertEqual(notified(other, "notify c"), 0)
        self.assertEqual(one(other, "select count(*) from pg_listening_channels()"), "0")

    def test_client_that_vanishes(self):
        self.relay()
        for end in "terminate", "close", "in_a_block":
            with self.subTest(end):
                owner = self.weir.client()
                self.run_sql(owner, *["begin"] * (end == "in_a_block"))
                owner.send(query("set work_mem = '9MB'; select pg_advisory_lock(7); create temp table l (a int)"),
                           *[TERMINATE] * (end == "terminate"))
                if end != "terminate":
                    owner.answer()
                owner.close()
                other = self.client()
                self.assertEqual(one(other, "show work_mem"), "4MB")
                self.assertEqual(one(other, "select count(*) from pg_class where relname = 'l'"), "0")
                self.assertEqual(locks(), [])

    def test_next_query_comes_at_once(self):
        """And waits until the server is clean; by then others may have had it."""
        self.relay(pool_size=2, reactors=2)
        clients = [self.client() for _ in range(10)]
        for client in clients:
            client.send(*[query(f"select pg_advisory_lock(7, {i}); select {i}") for i in range(20)])
        for client in clients:
            for i in range(20):
                self.assertEqual(client.answer().rows[-1], (str(i),))
        self.assertEqual(locks(), [])

    def test_stop_while_servers_are_asked(self):
        with Relay(postgres, pool_mode="transaction", pool_size=2, reactors=2) as weir:
            clients = [self.enterContext(weir.client()) for _ in range(10)]
            for client in clients:
                client.send(*[query("select pg_advisory_lock(7)")] * 20)
        self.assertEqual(locks(), [])


class SequencesTest(StateCase):
    def test_of_another_client(self):
        owner, other = self.pair()
        self.assertEqual(one(owner, "select nextval('own')"), "1")
        self.assertEqual(one(owner, "select lastval()"), "1")
        self.assertEqual(one(other, "select lastval()"), "55000")
        self.assertEqual(one(owner, "select nextval('own')"), "2")
        self.assertEqual(self.run_batch(owner, "select currval('own')").value, "2")
        self.run_sql(other, "begin")
        self.assertEqual(one(other, "select currval('own')"), "55000")


class EndsTest(StateCase):
    """What PostgreSQL ends with its transaction needs no question."""

    TEXTS = (
        "begin; lock table t; commit", "begin; declare c cursor for select 1; fetch c; commit",
        "begin; set transaction isolation level serializable; set local work_mem = '9MB'; commit",
        "begin isolation level repeatable read; select pg_export_snapshot(); commit",
        "begin; select lo_open(lo_create(0), 131072); commit", "select pg_advisory_xact_lock(7)", "notify c",
    )

    def test_ends(self):
        owner, other = self.pair()
        for text in self.TEXTS:
            self.run_sql(owner, text)
            self.run_sql(other, "select 1")
        self.assertEqual([row for row in self.state().values() if {row["moved"], row["cleaned"]} != {"0"}], [])


class DifferencesTest(StateCase):
    """From PostgreSQL: what docs/transaction-mode.md says of them."""

    # what the owner does, what the other asks, and what the owner: the answers
    TABLE = (
        ("set app.once = '1'", "select current_setting('app.once', true)", "", "1"),
        ("select set_config('app.' || 'computed', '1', false)", "select current_setting('app.computed', true)", "", ""),
        ("select hides_a_setting()", "show work_mem", "77MB", "77MB"),
        ("reset work_mem", "show work_mem", "4MB", "4MB"),
        ("prepare p as select 1; select 2", "execute p", "26000", "26000"),
    )

    def test_table(self):
        owner, other = self.pair()
        for text, question, others, own in self.TABLE:
            with self.subTest(text):
                self.run_sql(owner, text)
                self.assertEqual(one(other, question), others)
                self.assertEqual(one(owner, question), own)

    def test_setting_of_a_function(self):
        """Is taken for that of the next client about which a server is asked."""
        owner, other = self.pair()
        self.run_sql(owner, "select hides_a_setting()")
        self.run_sql(other, "set lock_timeout = 5")
        self.assertEqual([one(client, "show work_mem") for client in (owner, other)], ["4MB", "77MB"])

    def test_sequences_within_a_transaction(self):
        owner, other = self.pair()
        value = one(owner, "select nextval('s')")
        self.run_sql(other, "begin")
        self.assertEqual(one(other, "select lastval()"), value)
        self.run_sql(other, "commit")
        self.run_sql(owner, "select nextval('s')")
        self.assertEqual(one(other, "select lastval()"), "55000")

    def test_startup_packet(self):
        self.relay()
        client = self.client(TimeZone="Europe/Paris")
        zone = one(self.client(), "show TimeZone")
        self.assertEqual(one(client, "reset TimeZone; show TimeZone"), zone)
        self.assertEqual(one(client, "show TimeZone"), "Europe/Paris")

    def test_execute_of_the_protocols(self):
        owner = self.pair()[0]
        owner.send(parse("select 5", "p"), SYNC)
        self.assertIsNone(owner.answer().sqlstate)
        self.assertEqual(one(owner, "execute p"), "26000")
        self.run_sql(owner, "prepare q as select 6")
        owner.send(bind(name="q"), execute(), SYNC)  # the other way round it does
        self.assertEqual(owner.answer().value, "6")

    def test_definitions_that_change_elsewhere(self):
        owner, other = self.pair()
        postgres.psql("create table changes (a int); grant all on changes to app")
        for client, name, expected in (owner, "p", [None]), (owner, "p", ["0A000", None]), (other, "q", [None]):
            for sqlstate in expected:
                client.send(*[parse("select * from changes", name)] * (expected == [None]), bind(name=name), execute(), SYNC)
                self.assertEqual(client.answer().sqlstate, sqlstate)
            if name == "p" and expected == [None]:
                postgres.psql("alter table changes add b int", user="postgres")


class PreparedTest(StateCase):
    """PREPARE and EXECUTE of SQL."""

    def test_follows_its_client(self):
        self.relay(pool_size=2)
        owner, other = self.client(), self.client()
        self.run_sql(owner, "prepare a (int) as select $1 + 1", 'prepare "A" as select \'it\'\'s\'')
        for _ in range(3):
            self.run_sql(other, "begin")  # has one of the two servers
            self.assertEqual(one(owner, "execute a(41)"), "42")
            self.assertEqual(one(owner, 'execute "A"'), "it's")
            self.assertEqual(one(other, "execute a(1)"), "26000")
            self.run_sql(other, "rollback")
        self.assertEqual(self.run_batch(owner, "execute a(1)").value, "2")
        self.run_sql(owner, "deallocate a")
        self.assertEqual(one(owner, "execute a(1)"), "26000")
        self.assertEqual(one(owner, 'execute "A"'), "it's")
        self.run_sql(owner, "deallocate all")
        self.assertEqual(one(owner, 'execute "A"'), "26000")

    def test_of_the_same_name(self):
        owner, other = self.pair()
        self.run_sql(owner, "prepare a as select 'owner'")
        self.run_sql(other, "prepare a as select 'other'")
        for _ in range(3):
            self.assertEqual(one(owner, "execute a"), "owner")
            self.assertEqual(one(other, "execute a"), "other")

    def test_pipelined(self):
        self.relay(pool_size=2)
        owner, other = self.client(), self.client()
        owner.send(query("prepare a as select 1"), query("execute a"), batch("execute a"), SYNC, query("deallocate a"),
                   query("execute a"), query("prepare a as select 2"), query("execute a"))
        answers = [owner.answer() for _ in range(7)]
        self.assertEqual([answer.sqlstate or (answer.rows[0][0] if answer.rows else None) for answer in answers],
                         [None, "1", "1", None, "26000", None, "2"])
        self.run_sql(other, "begin")
        self.assertEqual(one(owner, "execute a"), "2")

    def test_rolled_back_stays(self):
        """As in PostgreSQL: statements know no transaction."""
        owner, other = self.pair()
        self.run_sql(owner, "begin", "prepare a as select 1", "rollback")
        self.run_sql(other, "select 1")
        self.assertEqual(one(owner, "execute a"), "1")

    def test_what_it_leaves_behind(self):
        owner, other = self.pair()
        self.run_sql(owner, "prepare a as select set_config('app.a', '1', false), pg_advisory_lock(7)")
        self.run_sql(other, "select 1")
        self.run_sql(owner, "execute a")
        self.assertEqual(one(other, "select coalesce(current_setting('app.a', true), '')"), "")
        self.assertEqual(locks(), [])
        self.assertEqual(one(owner, "show app.a"), "1")

    def test_text_that_fails_elsewhere(self):
        self.relay(pool_size=2)
        owner, other = self.client(), self.client()
        self.run_sql(owner, "create table gone (a int)", "prepare a as select * from gone", "prepare b as select 5")
        self.run_sql(other, "begin", "select 1")
        self.run_sql(other, "drop table gone")
        self.run_sql(other, "commit", "begin")
        self.assertIn(one(owner, "execute a"), ("26000", "42P01"))
        self.assertEqual(one(owner, "execute b"), "5")

    def test_too_much(self):
        """What a client takes along is bounded: the rest, or what is too long, stays nowhere."""
        owner, other = self.pair()
        for name in "abc":
            self.run_sql(owner, f"prepare {name} as select '{name * 12000}'",
                         f"select set_config('app.{name}', repeat('{name}', 12000), false)")
        self.run_sql(owner, f"prepare d as select '{'d' * 17000}'",
                     "select set_config('app.d', repeat('d', 17000), false)")
        for client, n in (owner, 2), (other, 0):
            kept = [name for name in "abcd" if one(client, f"execute {name}") == name * 12000]
            self.assertEqual(len(kept), n)
            self.assertEqual([one(client, f"execute {name}") for name in "abcd" if name not in kept], ["26000"] * (4 - n))
            kept = [name for name in "abcd" if one(client, f"select current_setting('app.{name}', true)")]
            self.assertEqual(len(kept), n)
        self.assertEqual({row["cleaned"] for kind, row in self.state().items() if kind in ("settings", "statements")}, {"2"})

    def test_several_statements_in_one_text(self):
        """Its text would do more than prepare: it stays nowhere."""
        owner, other = self.pair()
        self.run_sql(owner, "prepare a as select 1; insert into t values (1)")
        self.run_sql(other, "select 1")
        self.assertEqual(one(owner, "execute a"), "26000")
        self.assertEqual(one(owner, "select count(*) from t"), "1")


class PolicyTest(StateCase):
    def test_never(self):
        owner, other = self.pair(reset="never")
        self.run_sql(owner, "set work_mem = '5MB'", "select pg_advisory_lock(7)")
        self.assertEqual(one(other, "show work_mem"), "5MB")
        self.assertEqual(locks(), ["7"])
        self.run_sql(owner, "select pg_advisory_unlock_all()")

    def test_always(self):
        owner, other = self.pair(reset="always")
        pid = one(other, "select pg_backend_pid()")
        self.run_sql(owner, "select hides_a_lock()", "select hides_a_setting()", "select nextval('s')")
        self.assertEqual(locks(), [])
        self.assertEqual(one(other, "show work_mem"), "4MB")
        self.assertEqual(one(owner, "show work_mem"), "77MB")
        self.assertEqual(one(other, "select lastval()"), "55000")
        self.assertEqual(one(other, "select pg_backend_pid()"), pid)

    def test_suspect_does_not_see_into_functions(self):
        owner, other = self.pair()
        self.run_sql(owner, "select hides_a_lock()")
        self.assertEqual(locks(), ["7"])
        self.run_sql(other, "select pg_advisory_lock(8)")  # any reason to clean them will do
        self.assertEqual(locks(), [])

    def test_counts(self):
        owner, other = self.pair()
        for text, kind, column in (("set work_mem = '5MB'", "settings", "moved"),
                                   ("prepare p as select 1", "statements", "moved"),
                                   ("set app.a = '1'; select pg_advisory_lock(7)", "locks", "cleaned"),
                                   ("prepare q as select 1; select 2", "statements", "cleaned")):
            before = int(self.state()[kind][column])
            self.run_sql(owner, text)
            self.run_sql(other, "select 1")
            self.assertEqual(int(self.state()[kind][column]), before + 1, text)
        self.assertEqual({row["undetected"] for row in self.state().values()}, {"0"})

    @unittest.skipUnless(SOAK, "a server is left alone for a minute")
    def test_audit(self):
        owner, other = self.pair()
        self.run_sql(owner, "select hides_a_lock()", "select hides_a_setting()", "select hides_a_listen()")
        wait_until(lambda: self.state()["locks"]["undetected"] == "1", 90)
        self.assertEqual([kind for kind, row in self.state().items() if row["undetected"] == "1"],
                         ["settings", "locks", "channels"])
        self.weir.process.wait_for("state that nobody suspected")
        self.assertEqual(locks(), [])
        self.assertEqual(one(other, "show work_mem"), "4MB")
        self.assertEqual(one(owner, "show work_mem"), "4MB")


if __name__ == "__main__":
    unittest.main()
