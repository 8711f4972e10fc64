"""A client's settings follow it from server to server: those of its startup packet and those it has
set; no query ever runs under another client's, and what weir tells is what PostgreSQL would tell.
"""

import random
import re
import unittest

from postgres import Postgres
from process import wait_until
from relay import Relay
from scripted_server import ScriptedServer, command_complete, error, one_row, ready
from steps import Servers
from wire import SYNC, TERMINATE, Client, ServerError, batch, bind, execute, frame, parse, query

SEED = 20240229
ROUNDS = 25
SHOWN = ("search_path", "TimeZone", "DateStyle", "application_name", "statement_timeout", "client_encoding")

# (startup parameters, SETs) of eight clients
CLIENTS = (
    ({}, ("set search_path = x, pg_catalog", "set statement_timeout = 88000")),
    ({"TimeZone": "Europe/Paris", "search_path": 'a, "B c", pg_catalog', "application_name": "one"}, ()),
    ({"options": "-c timezone=Asia/Tokyo --DateStyle=german -c search_path=b\\ ,\\ public"}, ()),
    ({"client_encoding": "latin-1", "statement_timeout": "77s"}, ("set TimeZone = 'Asia/Seoul'; set search_path = b",)),
    ({"application_name": "it's \\ four"}, ("set DateStyle = 'SQL, DMY'", "set client_encoding = 'SJIS'")),
    ({"options": "--statement-timeout=2min", "DateStyle": "Postgres, DMY"}, ("set application_name = 'five'",)),
    ({"client_encoding": "SJIS", "search_path": "\"it's\", \"b\\\\s\""}, ("set standard_conforming_strings = off",)),
    ({"TimeZone": "<+05>-05", "options": "-c application_name=seven\\ seven"}, ("set DateStyle = 'iso, ymd'",)),
)

postgres = None


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql("create table t (a int)")
    postgres.psql("create role r; grant r to app; grant all on t to r; create schema x",
                  user="postgres")


def direct(**parameters):
    """A client of PostgreSQL itself."""
    client = Client((postgres.host, postgres.port))
    try:
        return client.log_in("app", "app", postgres.passwords["app"], **parameters)
    except BaseException:
        client.close()
        raise


def shown(client, names=SHOWN):
    """What the server says that the settings are."""
    columns = ", ".join(f"current_setting('{name}')" for name in names)
    answer = client.query(f"select {columns}")
    if answer.errors:
        raise answer.errors[0]
    return answer.rows[0]


def told(messages):
    """The ParameterStatus messages among them, in any order."""
    return sorted(message.body for message in messages if message.letter == "S")


class SettingsCase(unittest.TestCase):
    def relay(self, server=None, **keys):
        self.weir = self.enterContext(Relay(server or postgres, **{"pool_mode": "transaction"} | keys))
        return self.weir

    def client(self, **parameters):
        return self.enterContext(self.weir.client(**parameters))

    def direct(self, **parameters):
        return self.enterContext(direct(**parameters))


class FollowTest(SettingsCase):
    def check_all(self, **keys):
        """Every transaction finds its client's own, whichever server it gets."""
        self.relay(pool_size=2, reactors=2, **keys)
        expected, clients = [], []
        for parameters, sets in CLIENTS:
            pair = self.direct(**parameters), self.client(**parameters)
            self.assertEqual(pair[0].parameters, pair[1].parameters)
            for sql in sets:
                answers = [client.query(sql) for client in pair]
                self.assertEqual(*[told(answer.messages) for answer in answers], sql)
                self.assertIsNone(answers[1].sqlstate, sql)
            expected.append(shown(pair[0]))
            clients.append(pair[1])
        rng = random.Random(SEED)
        columns = ", ".join(f"current_setting('{name}')" for name in SHOWN)
        for number in range(ROUNDS):
            order = list(range(len(clients)))
            rng.shuffle(order)
            for i in order:
                clients[i].send(query(f"select {columns}"))
            for i in order:
                answer = clients[i].answer()
                self.assertEqual(answer.errors, [])
                self.assertEqual(answer.rows[0], expected[i], f"client {i}, round {number}, seed {SEED}")
                self.assertEqual(told(answer.messages), [])

    def test_transaction_mode(self):
        self.check_all()

    def test_statement_mode(self):
        self.check_all(pool_mode="statement")

    def test_small_chunks(self):
        self.check_all(arena={"chunk_size": "4kB"})

    def test_session_mode(self):
        self.relay(pool_mode="session")
        with self.weir.client(TimeZone="Asia/Tokyo", search_path="x") as client:
            self.assertEqual(shown(client, ("TimeZone", "search_path")), ("Asia/Tokyo", "x"))
            client.query("set TimeZone = 'Asia/Seoul'")
            self.assertEqual(client.value("show TimeZone"), "Asia/Seoul")
            client.send(TERMINATE)
            client.read_to_end()
        other = self.client()
        self.assertEqual(shown(other), shown(self.direct()))

    def test_long_values(self):
        """As long as a startup packet can bring them, made of what must be doubled or escaped."""
        values = {"my.quotes": "'" * 3000, "my.slashes": "\\" * 3000, "my.letters": "é" * 1000}
        self.relay(arena={"chunk_size": "4kB"})
        client, other = self.client(**values), self.client()
        for _ in range(3):
            self.assertEqual(shown(client, values), tuple(values.values()))
            self.assertEqual(other.value("select coalesce(current_setting('my.quotes', true), '')"), "")

    def test_strings_behind_a_client_of_other_rules(self):
        """Of another encoding, whose letters end with the byte of a backslash, and other strings."""
        value = "it's a \\' \\\\ 表; drop table t; --"
        self.relay()
        other = self.client(client_encoding="SJIS")
        other.query("set standard_conforming_strings = off")
        for encoding in ("UTF8", "SJIS"):
            parameters = {"my.value": value, "client_encoding": encoding}
            client = self.client(**parameters)
            for _ in range(3):
                self.assertEqual(other.value("show standard_conforming_strings"), "off")
                answers = [c.query("show my.value").messages for c in (client, self.direct(**parameters))]
                self.assertEqual(*[[(m.letter, m.body) for m in answer] for answer in answers])

    def test_a_set_that_nobody_saw(self):
        """What is not reported may have been set, or rolled back, by whoever had the server before."""
        self.relay()
        one, two = (self.client(search_path="x", statement_timeout="9s") for _ in range(2))
        for script in ("set search_path = 'other'",), ("set statement_timeout = 1000000",), ("reset all",), \
                ("reset search_path",), ("begin", "set search_path = 'y'", "rollback"), ("discard all",):
            for sql in script:
                one.query(sql)
            self.assertEqual(shown(two, ("search_path", "statement_timeout")), ("x", "9s"), script)
            self.assertEqual(shown(self.client()), shown(self.direct()), script)

    def test_what_is_behind_a_reset(self):
        """In the same send: it has the values of the startup packet again."""
        self.relay()
        client, shows = self.client(DateStyle="german", search_path="x"), "select '2024-02-03'::date, current_schemas(true)"
        expected = self.direct(DateStyle="german", search_path="x").query(shows).rows
        for sql in ("reset all", "discard all", "/* */ reset DateStyle", "select 1; reset search_path"):
            for send in (query, lambda sql: batch(sql) + SYNC):
                with self.subTest(sql):
                    client.send(send(sql) + send(shows) + send(shows))
                    self.assertEqual([client.answer().rows for _ in range(3)][1:], [expected] * 2)

    def test_a_default_that_changes(self):
        """Who has chosen nothing has the new one on every server, and the old one when it comes back."""
        self.relay(pool_size=2)
        one, two = self.client(), self.client(TimeZone="Asia/Tokyo")
        before = one.value("show TimeZone")
        for sql, now in (("set TimeZone = 'Europe/Berlin'", "Europe/Berlin"), ("reset TimeZone", before)):
            postgres.psql(f"alter system {sql}", user="postgres")
            postgres.psql("select pg_reload_conf()", user="postgres")
            with Servers(self.weir) as servers:
                for _ in range(4):
                    wait_until(lambda: one.value("show TimeZone") == now)
                    self.assertEqual(two.value("show TimeZone"), "Asia/Tokyo")
                    servers.change()

    def test_a_default_that_changes_behind_a_setting(self):
        """The server does not say so before the setting is undone, or not at all where its default becomes
        just that: who comes next is told, and greeted."""
        self.relay()
        one, two = self.client(), self.client(TimeZone="Asia/Tokyo")
        self.addCleanup(postgres.psql, "select pg_reload_conf()", user="postgres")
        self.addCleanup(postgres.psql, "alter system reset TimeZone", user="postgres")
        for now in "Europe/Berlin", "Asia/Tokyo", "Asia/Seoul":
            postgres.psql(f"alter system set TimeZone = '{now}'", user="postgres")
            postgres.psql("select pg_reload_conf()", user="postgres")
            wait_until(lambda: two.value("select reset_val from pg_settings where name = 'TimeZone'") == now)
            two.query("select 1")
            for expected in [f"TimeZone\0{now}\0".encode()], [], []:
                answer = one.query("show TimeZone")
                self.assertEqual((answer.value, told(answer.messages)), (now, expected))
            self.assertEqual(self.client().parameters["TimeZone"], now)
            self.assertEqual(two.value("show TimeZone"), "Asia/Tokyo")

    def test_a_default_that_changes_before_a_login(self):
        """That asks a server what it says to its settings."""
        self.relay()
        two = self.client(TimeZone="Asia/Tokyo")
        self.addCleanup(postgres.psql, "select pg_reload_conf()", user="postgres")
        self.addCleanup(postgres.psql, "alter system reset TimeZone", user="postgres")
        for now in "Europe/Berlin", "Asia/Tokyo":
            postgres.psql(f"alter system set TimeZone = '{now}'", user="postgres")
            postgres.psql("select pg_reload_conf()", user="postgres")
            wait_until(lambda: two.value("select reset_val from pg_settings where name = 'TimeZone'") == now)
            client = self.client(options=f"-c work_mem={len(now)}MB")
            seen = client.parameters["TimeZone"]
            for _ in range(2):
                answer = client.query("show TimeZone")
                seen = ([body.split(b"\0")[1].decode() for body in told(answer.messages)] + [seen])[0]
                self.assertEqual((answer.value, seen), (now, now))
            self.assertEqual(self.client().parameters["TimeZone"], now)

    SCRIPT = (
        "set TimeZone = 'Asia/Tokyo'", "show TimeZone", "reset TimeZone", "show TimeZone",
        "begin", "set TimeZone = 'Asia/Tokyo'", "rollback", "show TimeZone",
        "begin", "set DateStyle = 'german'", "savepoint a", "set DateStyle = 'sql'", "rollback to a",
        "commit", "show DateStyle", "reset all", "show DateStyle", "show search_path",
        "begin", "reset TimeZone", "show TimeZone", "set TimeZone = 'Asia/Tokyo'", "reset all",
        "show TimeZone", "show statement_timeout", "show search_path", "rollback", "show TimeZone",
        "begin", "set TimeZone = 'Asia/Tokyo'", "savepoint a", "reset TimeZone", "show TimeZone",
        "rollback to a", "show TimeZone", "commit", "show TimeZone", "reset TimeZone",
        "begin", "set local TimeZone = 'Asia/Seoul'", "commit", "show TimeZone",
        "set TimeZone = 'Etc/UTC'", "reset all", "show TimeZone", "show statement_timeout",
        "set TimeZone = 'Asia/Tokyo'; set application_name = 'x'", "select 1/0", "show application_name",
        "discard all", "show TimeZone", "show application_name", "show search_path",
        "select set_config('TimeZone', 'Asia/Tokyo', false)", "show TimeZone",
        "set TimeZone = 'No/Such'", "show TimeZone", "show statement_timeout",
        "set search_path = y", "reset TimeZone", "show search_path", "reset search_path", "show search_path",
        "reset all; begin", "select 1/0", "rollback", "show TimeZone", "reset all; begin", "rollback", "show TimeZone",
        "begin", "reset TimeZone", "set TimeZone = 'Asia/Tokyo'", "select 1/0", "rollback", "show TimeZone",
    )

    def play_script(self, between=lambda: None):
        """Step by step the same as at a server of its own; between transactions this is called."""
        startup = {"TimeZone": "Europe/Paris", "options": "-c search_path=x -c statement_timeout=9s"}
        there, here = self.direct(**startup), self.client(**startup)
        for sql in self.SCRIPT:
            expected, answer = there.query(sql), here.query(sql)
            with self.subTest(sql):
                self.assertEqual(told(answer.messages), told(expected.messages))
                self.assertEqual(answer.rows, expected.rows)
                self.assertEqual((answer.tags, answer.sqlstate, answer.status),
                                 (expected.tags, expected.sqlstate, expected.status))
            if answer.status == "I":
                between()

    def test_script_in_a_session(self):
        self.relay(pool_mode="session")
        self.play_script()

    def test_disturbed_script(self):
        """Another client uses the only server in between."""
        self.relay()
        other = self.client(TimeZone="Africa/Cairo", DateStyle="iso, ymd")
        self.play_script(lambda: self.assertEqual(shown(other, ("TimeZone", "DateStyle", "search_path")),
                                                  ("Africa/Cairo", "ISO, YMD", '"$user", public')))


class ContextTest(SettingsCase):
    """The same text, prepared under different settings, is not the same statement."""

    def test_same_text(self):
        texts = {"select '01/02/2024'::date::text": ({"DateStyle": "ISO, MDY"}, {"DateStyle": "ISO, DMY"}),
                 "select '2024-01-01 00:00'::timestamptz at time zone 'UTC'":
                     ({"TimeZone": "Asia/Tokyo"}, {"TimeZone": "Africa/Cairo"}),
                 "select a::text from place": ({"search_path": "public"}, {"search_path": "x"}),
                 "select length('é')": ({"client_encoding": "UTF8"}, {"client_encoding": "LATIN1"})}
        postgres.psql("create table place (a text); insert into place values ('here')")
        postgres.psql("create table x.place (a int); insert into x.place values (7);"
                      "grant usage on schema x to app; grant all on x.place to app", user="postgres")
        for text, settings in texts.items():
            for name in ("", "s"):
                with self.subTest(text, name=name):
                    self.relay()
                    expected = [self.direct(**one).value(text) for one in settings]
                    self.assertNotEqual(*expected)
                    clients = [self.client(**one) for one in settings]
                    for client in clients:
                        client.send(parse(text, name) + SYNC)
                        client.read_until("Z")
                    for client, value in zip(clients * 3, expected * 3):
                        client.send(bind(name=name) + execute() + SYNC)
                        self.assertEqual(client.answer().value, value)

    def test_a_statement_older_than_the_setting(self):
        """It keeps its meaning for nobody but who has changed it."""
        self.relay()
        one, two = self.client(), self.client()
        text = "select '01/02/2024'::date::text"
        for client in (one, two):
            client.send(parse(text, "s") + SYNC)
            client.read_until("Z")
        one.query("set DateStyle = 'ISO, DMY'")
        for _ in range(3):
            for client in (one, two):
                client.send(bind(name="s") + execute() + SYNC)
                answer = client.answer()
            self.assertEqual(answer.value, "2024-01-02")


class LoginTest(SettingsCase):
    def test_what_postgresql_says(self):
        """Names and values are taken and refused as by a server itself."""
        self.relay()
        cases = ({"client_encoding": "latin-1"}, {"DateStyle": "german"}, {"datestyle": "german"},
                 {"application_name": "é"}, {"application_name": "x" * 80}, {"TimeZone": "utc"},
                 {"TimeZone": "No/Such"}, {"DateStyle": "x"}, {"bytea_output": "é" * 200}, {"nothing": "x"}, {"a.b": "x"}, {"search_path": "a,,"},
                 {"role": "postgres"}, {"role": "r"}, {"is_superuser": "on"}, {"Server_Version": "16"},
                 {"port": "1"}, {"options": "-c work_mem=1GB"}, {"options": "-c work_mem=many"},
                 {"options": "-c log_statement=all"}, {"options": "work_mem"}, {"options": "-cTimeZone=utc"},
                 {"options": "--time-zone=utc"}, {"options": "-c TimeZone=utc", "TimeZone": "Asia/Tokyo"})
        for parameters in cases:
            with self.subTest(parameters):
                outcomes = []
                for log_in in (direct, self.weir.client):
                    try:
                        with log_in(**parameters) as client:
                            outcomes.append(client.parameters)
                    except ServerError as refusal:
                        said = "SCM" if refusal.sqlstate == "42601" else "SCMDH"
                        outcomes.append([refusal.fields.get(field) for field in said])
                self.assertEqual(*outcomes)

    def test_names_for_the_start_of_a_process(self):
        self.relay()
        for name in ("log_connections", "Log_Disconnections", "post_auth_delay"):
            with self.assertRaises(ServerError) as refusal:
                self.client(options=f"-c {name}=1")
            self.assertEqual((refusal.exception.fields["S"], refusal.exception.sqlstate), ("FATAL", "55P02"))

    def test_values_that_are_relative(self):
        """To what a new session has, and not to what the client before had."""
        self.relay()
        self.client(DateStyle="SQL, DMY", application_name="it").value("select 1")
        for value in "iso", "mdy", "german", "ymd":
            for parameters in {"DateStyle": value}, {"options": f"-c DateStyle={value}"}:
                client, expected = self.client(**parameters), self.direct(**parameters)
                self.assertEqual(client.parameters, expected.parameters)
                self.assertEqual(shown(client), shown(expected))

    def test_known_values_need_no_server(self):
        """What one client has brought another may bring while no server is free."""
        self.relay()
        first = self.client(TimeZone="utc", client_encoding="latin-1")
        first.query("begin")
        second = self.client(TimeZone="utc", client_encoding="latin-1", application_name="new")
        self.assertEqual(second.parameters["TimeZone"], first.parameters["TimeZone"])
        self.assertEqual(second.parameters["client_encoding"], "LATIN1")
        self.assertEqual(first.query("commit").status, "I")

    def test_refusals_cost_no_server(self):
        self.relay()
        pid = self.client().value("select pg_backend_pid()")
        for _ in range(5):
            with self.assertRaises(ServerError):
                self.client(TimeZone="No/Such")
        self.assertEqual(self.client().value("select pg_backend_pid()"), pid)

    def test_a_client_that_goes_while_a_server_is_asked(self):
        with ScriptedServer() as server:
            self.relay(server)
            client = self.enterContext(self.weir.connect())
            client.send(startup(TimeZone="Asia/Tokyo"))
            session = server.session(0)
            session.wait_for("Q")
            client.close()
            session.wait_until_ended()
            server.answer = lambda session, message: one_row(1) + ready("I") if message.letter == "Q" else b""
            self.assertEqual(self.client().value("select 1"), "1")

    def test_a_server_that_goes_while_it_is_asked(self):
        with ScriptedServer() as server:
            self.relay(server)
            client = self.enterContext(self.weir.connect())
            client.send(startup(TimeZone="Asia/Tokyo"))
            session = server.session(0)
            session.wait_for("Q")
            session.finish()
            (message,) = [m for m in client.read_to_end() if m.letter == "E"]
            self.assertEqual(message.fields()["C"], "08006")

    def test_an_answer_in_pieces(self):
        with ScriptedServer() as server:
            self.relay(server)
            client = self.enterContext(self.weir.connect())
            client.send(startup(TimeZone="utc"), query("select 1"))
            session = server.session(0)
            session.wait_for("Q")
            for byte in command_complete("SET") + frame("S", b"TimeZone\0UTC!\0") + ready("I"):
                session.send(bytes([byte]))
            session.wait_for("Q", 2)
            session.send(one_row(1) + ready("I"))
            messages = client.read_until("Z")
            self.assertIn(b"TimeZone\0UTC!\0", told(messages))
            self.assertEqual(client.read_until("Z")[-2].letter, "C")


def startup(**parameters):
    from message import startup as packet
    return packet(user="app", database="app", **parameters)


class RefusedTest(SettingsCase):
    def test_nothing_runs_behind_it(self):
        """A role that was taken away: the client's INSERT leaves no row, it hears PostgreSQL's words
        as an ERROR, and goes on without that value."""
        for mode in ("transaction", "statement"):
            for send in (query, lambda sql: batch(sql) + SYNC):
                with self.subTest(mode):
                    postgres.psql("truncate t; grant r to app", user="postgres")
                    self.relay(pool_mode=mode)
                    other, client = self.client(), self.client(options="-c role=r")
                    self.assertEqual(client.value("select current_user"), "r")
                    other.query("select 1")
                    postgres.psql("revoke r from app", user="postgres")
                    client.send(send("insert into t values (1)"))
                    answer = client.answer()
                    self.assertEqual([e.fields["S"] for e in answer.errors], ["ERROR"])
                    self.assertEqual(answer.sqlstate, "42501")
                    self.assertIn('permission denied to set role "r"', str(answer.errors[0]))
                    self.assertEqual(answer.status, "I")
                    self.assertEqual(postgres.psql("select count(*) from t"), "0")
                    self.assertEqual(client.value("select current_user"), "app")
                    self.assertEqual(other.value("select 1"), "1")

    def test_one_server_at_most(self):
        postgres.psql("grant r to app", user="postgres")
        self.relay()
        other, client = self.client(), self.client(options="-c role=r", TimeZone="Asia/Tokyo")
        other.query("select 1")
        postgres.psql("revoke r from app", user="postgres")
        self.assertEqual(client.query("select 1").sqlstate, "42501")
        pid = client.value("select pg_backend_pid()")
        for sql in ("discard all", "reset all", "select 1"):
            self.assertIsNone(client.query(sql).sqlstate)
            self.assertEqual(other.value("select pg_backend_pid()"), pid)
        self.assertEqual(client.value("show TimeZone"), "Asia/Tokyo")
        with self.assertRaises(ServerError) as refusal:
            self.client(options="-c role=r")
        self.assertEqual(refusal.exception.sqlstate, "42501")
        self.assertEqual(other.value("select pg_backend_pid()"), pid)

    def test_what_had_been_sent(self):
        """Each message that was on its way fails, a batch once, and what follows up to its Sync."""
        cases = (
            (query("a") + query("b"), "EZEZ"),
            (batch("a") + SYNC + batch("b") + batch("c") + SYNC + query("d"), "EZEZEZ"),
            (batch("a"), "E"),
            (batch("a") + batch("b") + frame("H", b""), "E"),
            (query("a") + frame("Q", bytes(100000))[:50000], "EZEZ"),
        )
        for data, letters in cases:
            with self.subTest(letters), ScriptedServer(answer_settings) as server:
                self.relay(server)
                client = self.client(TimeZone="Asia/Tokyo")
                server.answer = None
                self.client().send(query("other"))  # has the server's settings changed
                first = server.session(0)
                first.send(answer_settings(first, first.wait_for("Q", 2)))
                first.wait_for("Q", 3)
                first.send(one_row(1) + ready("I"))
                client.send(data)
                first.wait_until(lambda: first.letters()[-1] in "QHSE" and len(first.letters()) > 4, "nothing came")
                first.send(command_complete("SET") + error("22023", "no such value", "FATAL"))
                heard = client.read_until("Z" if letters[-1] == "Z" else "E")
                while len(heard) < len(letters):
                    heard += client.read_until("Z")
                self.assertEqual("".join(message.letter for message in heard), letters)
                self.assertTrue(client.has_nothing())
                rest = frame("Q", bytes(100000))[50000:] if len(data) > 50000 else b""
                if letters[-1] == "E":
                    client.send(batch("skipped") + SYNC)
                    self.assertEqual([m.letter for m in client.read_until("Z")], ["Z"])
                client.send(rest + query("next"))
                second = server.session(1)
                second.wait_for("Q")
                second.send(one_row(2) + ready("I"))
                self.assertEqual(client.answer().value, "2")
                self.assertEqual(second.wait_for("Q").body, b"next\0")

    def test_within_a_transaction(self):
        """What a RESET has taken is set again at once; if that fails, the transaction is over, and the
        client must know."""
        with ScriptedServer(answer_settings) as server:
            self.relay(server)
            client = self.client(TimeZone="Asia/Tokyo")
            server.answer = None
            client.send(query("begin; reset timezone"))
            session = server.session(0)
            session.wait_for("Q", 2)
            session.send(command_complete("BEGIN") + command_complete("RESET")
                         + frame("S", b"TimeZone\0UTC\0") + ready("T"))
            self.assertEqual([m.letter for m in client.read_until("Z")], ["C", "C", "Z"])
            self.assertIn(b"E'Asia/Tokyo'", session.wait_for("Q", 3).body)
            session.send(command_complete("SET") + error("22023", "no such value", "FATAL"))
            self.assertEqual([m.letter for m in client.read_to_end()], ["E"])

    def test_a_cancel_is_no_refusal(self):
        """What somebody stopped is tried again."""
        with ScriptedServer(answer_settings) as server:
            self.relay(server)
            client, other = self.client(TimeZone="Asia/Tokyo"), self.client()
            self.assertEqual(other.query("x").tags, ["SELECT 1"])
            server.answer = None
            client.send(query("a"))
            session = server.session(0)
            session.wait_for("Q", 5)
            session.send(command_complete("SET") + error("57014", "canceling", "FATAL"))
            self.assertEqual(client.answer().sqlstate, "57014")
            client.send(query("b"))
            self.assertIn(b"Asia/Tokyo", server.session(1).wait_for("Q").body)


def answer_settings(session, message):
    """Takes every setting, reports the time zone, and answers other queries with a row."""
    if message.letter != "Q":
        return b""
    if b"SET" not in message.body:
        return one_row(session.number) + ready("I")
    zone = re.search(rb"SET \"timezone\"(?:=E'([^']*)')?", message.body)
    report = frame("S", b"TimeZone\0" + (zone[1] or b"UTC") + b"\0") if zone else b""
    return command_complete("SET") * (message.body.count(b";") + 1) + report + ready("I")


class SegmentTest(SettingsCase):
    def test_the_query_comes_with_it(self):
        """The difference and what the client sent are one segment; where there is none, nothing is
        sent but the query."""
        came = []

        def answer(session, message):
            came.append((message.body, len(session.messages)))
            return answer_settings(session, message)

        with ScriptedServer(answer_settings) as server:
            self.relay(server)
            client, other = self.client(TimeZone="Asia/Tokyo"), self.client()
            for user, n_messages in ((other, 2), (other, 1), (client, 2), (client, 1)):
                n_before = len(server.session(0).messages)
                server.answer = answer
                came.clear()
                self.assertEqual(user.query("x").tags, ["SELECT 1"])
                self.assertEqual(len(came), n_messages)
                self.assertEqual(came[0][1], n_before + n_messages)
                self.assertEqual(came[-1][0], b"x\0")

    def test_statements_come_with_it(self):
        """So do the statement that the server lacks, the Close that makes room for it, and all that the
        client sends at a time."""
        came = []

        def answer(session, message):
            came.append((message.letter, len(session.messages)))
            answers = {"P": frame("1"), "B": frame("2"), "C": frame("3"), "S": ready("I"),
                       "E": command_complete("SELECT 0")}
            return answers.get(message.letter) or answer_settings(session, message)

        with ScriptedServer(answer_settings) as server:
            self.relay(server, max_prepared_statements=1)
            client, other = self.client(TimeZone="Asia/Tokyo"), self.client()
            server.answer = answer
            for user, name in ((client, "a"), (other, "b")):
                user.send(parse(f"select '{name}'", name), SYNC)
                self.assertIsNone(user.answer().sqlstate)
            n_before = len(server.session(0).messages)
            came.clear()
            used = bind(name="a") + execute()
            client.send(used + used + SYNC + query("x") + batch("y") + SYNC)
            self.assertEqual([client.answer().sqlstate for _ in range(3)], [None] * 3)
            self.assertEqual("".join(letter for letter, _ in came), "QCPBEBESQPBES")
            self.assertEqual({n for _, n in came}, {n_before + len(came)})

    def test_reports_while_nothing_is_asked(self):
        """A parameter that changes by itself is told at once, and to others when they come."""
        with ScriptedServer(answer_settings) as server:
            self.relay(server)
            client, other = self.client(), self.client()
            client.send(query("x"))
            client.read_until("Z")
            server.answer = None
            client.send(query("y"))
            session = server.session(0)
            session.wait_for("Q", 2)
            session.send(frame("S", b"server_version\0" + b"16\0") + one_row(1) + ready("I"))
            self.assertEqual(told(client.read_until("Z")), [b"server_version\0" + b"16\0"])
            server.answer = answer_settings
            for user, expected in ((client, []), (other, [b"server_version\0" + b"16\0"]), (other, [])):
                self.assertEqual(told(user.query("x").messages), expected)


if __name__ == "__main__":
    unittest.main(verbosity=2)
