"""What a session has left on a server is found, moved and cleaned as PostgreSQL itself sees it, whatever
the session has set: inspected.py PROGRAM, which is made of inspected.c.
"""

import os
import subprocess
import sys
import unittest

sys.path.insert(0, os.path.join(os.path.dirname(__file__), "..", "lib"))
from postgres import Postgres, binary

SKIPPED = 77
PROGRAM = ""
KINDS = ("settings", "statements", "temp", "locks", "channels", "cursors", "sequences")

# kind: (what leaves it, what says how much of it is there)
LEFT = {
    "settings": ("set work_mem = '64MB'; select set_config('search_path', 'a, \"B c\"', false)",
                 "select count(*) from pg_catalog.pg_settings where source = 'session'"
                 " and name in ('work_mem', 'search_path')"),
    "statements": ("prepare \"A b\" as select 1", "select count(*) from pg_catalog.pg_prepared_statements"),
    "temp": ("create temp table t (a serial primary key); create function pg_temp.f() returns int language sql"
             " as 'select 1'; create type pg_temp.e as enum ('x')",
             "select count(*) from pg_catalog.pg_class where relnamespace = pg_catalog.pg_my_temp_schema()"),
    "locks": ("select pg_catalog.pg_advisory_lock(1), pg_catalog.pg_advisory_lock_shared(2, 3)",
              "select count(*) from pg_catalog.pg_locks where locktype = 'advisory'"),
    "channels": ("listen a; listen \"B\"", "select count(*) from pg_catalog.pg_listening_channels()"),
    "cursors": ("begin; declare c cursor with hold for select 1; commit",
                "select count(*) from pg_catalog.pg_cursors where is_holdable"),
}
LEFT_COUNTS = {"settings": 2, "statements": 1, "temp": 3, "locks": 2, "channels": 2, "cursors": 1}

# Names that a search_path puts in front of pg_catalog's, and that all fail when they are used.
HOSTILE = ["create schema hostile", "create domain hostile.text as int", "create domain hostile.regclass as int"]
FUNCTIONS = ("fails() returns text", "pg_advisory_unlock_all() returns void", "count(text) returns bigint",
             "octet_length(text) returns int", "current_setting(text, bool) returns text",
             "encode(bytea, text) returns text", "f(text, text) returns bool", "f(oid, oid) returns bool",
             "f(int, int) returns bool")
HOSTILE += [f"create function hostile.{function} language plpgsql as 'begin raise exception ''used''; end'"
            for function in FUNCTIONS]
HOSTILE += [f"create operator hostile.{name} (leftarg = {of}, rightarg = {of}, function = hostile.f)"
            for name, of in (("=", "text"), ("=", "oid"), ("=", "int"), ("<=", "int"))]
HOSTILE += [f"create view hostile.pg_{name} as select hostile.fails()"
            for name in ("settings", "prepared_statements", "depend", "locks", "cursors")]

# Settings under which questions and cleaning must work as under any others.
SETTINGS = (
    "search_path = hostile, pg_catalog",
    "default_transaction_read_only = on",
    "default_transaction_isolation = serializable",
    "client_encoding = 'SJIS'",
    "client_encoding = 'LATIN1'",
    "bytea_output = 'escape'",
    "standard_conforming_strings = off",
    "client_min_messages = debug5",
    "lock_timeout = 1",
    "role = nobody",
    "session_authorization = nobody",
)

postgres = None


def setUpModule():
    global postgres
    postgres = unittest.enterModuleContext(Postgres())
    postgres.psql(";".join(HOSTILE))
    postgres.psql("grant usage on schema hostile to public")
    postgres.psql("create role nobody; grant nobody to app; alter role app superuser", user="postgres")
    for encoding in ("LATIN1", "SQL_ASCII"):
        postgres.psql(f"create database {encoding.lower()} encoding '{encoding}' lc_collate 'C' lc_ctype 'C'"
                      " template template0", user="postgres", database="postgres")


class InspectCase(unittest.TestCase):
    def start(self, database="app"):
        command = [PROGRAM, postgres.host, str(postgres.port), "app", postgres.passwords["app"], database]
        self.child = self.enterContext(subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                                        stderr=subprocess.PIPE))
        self.addCleanup(self.stop)

    def stop(self):
        _, self.log = self.child.communicate(timeout=30)
        self.assertEqual(self.child.returncode, 0, self.log.decode(errors="replace"))

    def ask(self, line):
        """The lines that answer one."""
        self.child.stdin.write(line if isinstance(line, bytes) else line.replace("\n", " ").encode())
        self.child.stdin.write(b"\n")
        self.child.stdin.flush()
        lines = []
        while (answer := self.child.stdout.readline().rstrip(b"\n")) != b"done":
            if answer == b"" and self.child.poll() is not None:
                self.fail(self.child.stderr.read().decode(errors="replace"))
            lines.append(answer)
        return lines

    def query(self, sql):
        """The first column of all rows."""
        lines = self.ask(b"query " + sql if isinstance(sql, bytes) else "query " + sql)
        self.assertFalse([line for line in lines if line.startswith(b"error ")], sql)
        return [line.removeprefix(b"row ") for line in lines]

    def inspect(self, kinds="all", flags="-", names="-"):
        """{what: [the rest of each line]}"""
        found = {}
        for line in self.ask(f"inspect {kinds} {flags} {names}"):
            what, _, rest = line.partition(b" ")
            found.setdefault(what.decode(), []).append(rest)
        return found

    def there(self, kind):
        return int(self.query("reset search_path; " + LEFT[kind][1])[-1])

    def pid(self):
        return self.query("select pg_catalog.pg_backend_pid()")

    def answered(self, found):
        return [kind.decode() for kind in found.get("answered", [])]


class KindTest(InspectCase):
    def setUp(self):
        self.start()

    def test_nothing(self):
        self.assertEqual(self.answered(self.inspect()), list(KINDS[:-1]))
        self.assertEqual(list(self.inspect()), ["answered"])

    def test_each_alone(self):
        pid = self.pid()
        for kind, (leaves, _) in LEFT.items():
            with self.subTest(kind):
                self.query(leaves)
                found = self.inspect(kind)
                self.assertEqual(self.answered(found), [kind])
                self.assertEqual([line.split()[0].decode() for line in found["found"]], [kind])
                moves = kind in ("settings", "statements")
                self.assertNotIn("reset", found)
                if kind != "settings":
                    self.assertEqual(self.there(kind), LEFT_COUNTS[kind] if moves else 0)
                self.inspect(kind, "disown")
                self.assertEqual(self.there(kind), 0)
        self.assertEqual(self.pid(), pid)

    def test_only_what_is_asked_about(self):
        for leaves, _ in LEFT.values():
            self.query(leaves)
        self.query("reset search_path")
        self.assertEqual(self.inspect("locks"), {"answered": [b"locks"], "found": [b"locks 2"]})
        for kind, n in LEFT_COUNTS.items():
            if kind not in ("settings", "locks"):
                self.assertEqual(self.there(kind), n, kind)

    def test_all_together(self):
        for leaves, _ in LEFT.values():
            self.query(leaves)
        self.query("set application_name = 'it''s'; set app.tenant = E'\\\\ \"x\"'; set role nobody")
        found = self.inspect("all", "-", "app.tenant,app.none")
        self.assertEqual(found["setting"], [b"app.tenant=\\ \"x\"", b"application_name=it's", b"role=nobody",
                                            b"search_path=a, \"B c\"", b"work_mem=65536"])
        self.assertEqual(found["there"], found["setting"])
        self.assertEqual(found["statement"], [b"A b=prepare \"A b\" as select 1"])
        self.assertEqual(found["found"], [b"settings 5", b"statements 1", b"temp 4", b"locks 2", b"channels 2",
                                          b"cursors 1"])
        for kind in ("temp", "locks", "channels", "cursors"):
            self.assertEqual(self.there(kind), 0)
        self.inspect("all", "release", "app.tenant")
        found = self.inspect("all", "-", "app.tenant")
        self.assertEqual((found["setting"], "statement" in found), ([b"app.tenant="], False))

    def test_sequences(self):
        self.query("create sequence if not exists s; select nextval('s')")
        self.assertEqual(self.inspect("sequences"), {})
        self.assertEqual(self.ask("query select lastval()"), [b"error 55000"])

    def test_always(self):
        self.query("set work_mem = '64MB'; select pg_catalog.pg_advisory_lock(1)")
        found = self.inspect("all", "always")
        self.assertEqual((found["setting"], found["reset"]), ([b"work_mem=65536"], [b""]))
        self.assertNotIn("there", found)
        self.assertEqual(self.query("select current_setting('work_mem')"), [b"4MB"])

    def test_names_that_nobody_knows(self):
        self.query("select set_config('app.hidden', 'x', false); set work_mem = '64MB'")
        found = self.inspect("settings", "unknown")
        self.assertEqual((found["setting"], found["reset"]), ([b"work_mem=65536"], [b""]))
        self.assertEqual(self.query("select current_setting('app.hidden', true)"), [b""])

    def test_exit_on_error_does_not_stay(self):
        self.query("set exit_on_error = on")
        self.assertIn("reset", self.inspect("settings"))
        self.assertEqual(self.query("show exit_on_error"), [b"off"])

    def test_session_authorization(self):
        self.query("set session authorization nobody; set role none")
        found = self.inspect("settings")
        self.assertEqual(found["setting"], [b"session_authorization=nobody"])
        self.inspect("settings", "release")
        self.assertEqual(self.query("select session_user || ',' || current_user"), [b"app,app"])

    def test_settings_of_a_transaction(self):
        self.query("begin; set local work_mem = '64MB'; set transaction isolation level serializable; commit;"
                   " begin; set work_mem = '65MB'; rollback")
        self.assertNotIn("setting", self.inspect("settings"))


class BoundTest(InspectCase):
    """What is too much does not move."""

    def setUp(self):
        self.start()

    def test_long_values(self):
        self.query("select set_config('app.long', repeat('x', 16385), false);"
                   " select set_config('app.less', repeat('y', 16384), false)")
        found = self.inspect("settings", "-", "app.long,app.less")
        self.assertEqual(found["setting"], [b"app.less=" + b"y" * 16384])
        self.assertEqual(found["found"], [b"settings 2"])
        self.assertEqual(self.query("select current_setting('app.long')"), [b""])
        self.query("select length(set_config('app.long', repeat('x', 50000000), false))")
        self.assertIn("reset", self.inspect("settings", "-", "app.long"))

    def test_texts(self):
        self.query("prepare a as select 1; prepare b as select 2")
        self.query("prepare c as select ';';")
        self.query("prepare d as select '" + "d" * 65536 + "'")
        self.query("do 'begin execute $$ prepare \"e\"\"x\" as select 5 $$; end'")
        found = self.inspect("statements")
        self.assertEqual(found["statement"], [b"c=prepare c as select ';';", b"e\"x= prepare \"e\"\"x\" as select 5 "])
        self.assertEqual(found["found"], [b"statements 5"])
        self.assertEqual(self.query("select name from pg_prepared_statements order by 1"), [b"c", b"e\"x"])
        self.inspect("statements", "release")
        self.assertEqual(self.query("select name from pg_prepared_statements"), [])

    def test_many_statements(self):
        pid = self.pid()
        self.query("do 'begin for i in 1..1000 loop execute $$prepare s$$ || i || $$ as select 1$$; end loop; end'")
        self.assertEqual(len(self.inspect("statements")["statement"]), 1000)
        self.inspect("statements", "release")
        self.assertEqual(self.query("select count(*) from pg_prepared_statements"), [b"0"])
        self.query("do 'begin for i in 1..1001 loop execute $$prepare s$$ || i || $$ as select 1$$; end loop; end'")
        self.assertIn("lost", self.inspect("statements"))
        self.assertNotEqual(self.pid(), pid)


class HostileTest(InspectCase):
    """Whatever is set, all is found, and all is cleaned."""

    def test_settings(self):
        self.start()
        pid = self.pid()
        for setting in SETTINGS:
            with self.subTest(setting):
                for kind, (leaves, _) in LEFT.items():
                    self.query(leaves if kind != "settings" else "set work_mem = '64MB'")
                self.query(f"set {setting}")
                found = self.inspect()
                self.assertEqual(self.answered(found), list(KINDS[:-1]))
                self.assertEqual(len(found["found"]), len(LEFT))
                self.assertIn(setting.partition(" ")[0].encode(), [s.partition(b"=")[0] for s in found["setting"]])
                self.inspect("all", "release")
                found = self.inspect()
                self.assertEqual(("answered" in found, "found" in found), (True, False))
        self.assertEqual(self.pid(), pid)

    def test_deferrable_transactions_wait_for_nobody(self):
        self.start()
        other = subprocess.Popen([*postgres.psql_command(), "-qAt"], env=postgres.environment(),
                                 stdin=subprocess.PIPE, stdout=subprocess.PIPE)
        self.enterContext(other)
        other.stdin.write(b"begin isolation level serializable; create table w (); select 'begun';\n")
        other.stdin.flush()
        self.assertEqual(other.stdout.readline(), b"begun\n")
        self.query("set default_transaction_isolation = serializable; set default_transaction_read_only = on;"
                   " set default_transaction_deferrable = on; select pg_advisory_lock(9)")
        found = self.inspect()
        self.assertEqual(found["found"], [b"settings 3", b"locks 1"])
        self.inspect("all", "release")
        other.communicate()

    def test_a_question_that_is_refused(self):
        """All that it could have found is cleaned unseen."""
        self.start()
        pid = self.pid()
        postgres.psql("revoke select on pg_settings from public", user="postgres")
        self.addCleanup(postgres.psql, "grant select on pg_settings to public", user="postgres")
        leaves = "set work_mem = '64MB'; listen a; select pg_advisory_lock(1); set role nobody"
        self.query(leaves)
        found = self.inspect("settings,locks")
        self.assertEqual((found["reset"], "answered" in found, "found" in found), ([b""], False, False))
        self.assertEqual(self.query("select current_user || current_setting('work_mem')"), [b"app4MB"])
        self.assertEqual((self.there("locks"), self.there("channels")), (0, 1))
        self.assertEqual(self.pid(), pid)
        self.query(leaves)
        self.assertIn("lost", self.inspect())  # its statements are not known
        self.assertNotEqual(self.pid(), pid)

    def test_a_short_statement_timeout(self):
        """Whether the question is in time or not: nothing stays."""
        self.start()
        for _ in range(20):
            self.query("select pg_advisory_lock(1); set work_mem = '64MB'; set statement_timeout = 1")
            self.inspect("settings,locks,temp", "release")
            self.assertEqual(self.query("select current_setting('work_mem')"), [b"4MB"])
            self.assertEqual(self.there("locks"), 0)


class EncodingTest(InspectCase):
    def test_values(self):
        """Bytes in the server's encoding, whatever the client's is; texts in the client's."""
        word = {"app": "\u00e9".encode(), "latin1": "\u00e9".encode("latin1"), "sql_ascii": b"\x8e\xff\xe9"}
        for database, in_server in word.items():
            for client in ("LATIN1", "UTF8", "SQL_ASCII"):
                with self.subTest(database=database, client=client):
                    self.start(database)
                    escaped = "".join(f"\\x{byte:02x}" for byte in in_server)
                    self.query(f"set search_path = E'{escaped}'; set client_encoding = '{client}'")
                    found = self.inspect("settings")
                    self.assertIn(b"search_path=" + in_server, [s.replace(b'"', b"") for s in found["setting"]])

    def test_texts(self):
        self.start()
        text = "prepare \"\u8868\" as select '\u8868;'".encode("sjis")
        self.query("set client_encoding = 'SJIS'")
        self.query(text)
        found = self.inspect("statements")
        # The second byte of the letter is a backslash, so where its literal ends cannot be told.
        self.assertNotIn("statement", found)
        self.query("prepare \"\u8868\" as select '\u8868'".encode("sjis"))
        self.assertEqual(self.inspect("statements")["statement"],
                         ["\u8868=prepare \"\u8868\" as select '\u8868'".encode("sjis")])
        self.inspect("statements", "release")
        self.assertEqual(self.query("select count(*) from pg_prepared_statements"), [b"0"])


class AuditTest(InspectCase):
    def test_what_nobody_suspects(self):
        self.start()
        self.assertEqual(self.ask("audit"), [])
        for kind, (leaves, _) in LEFT.items():
            with self.subTest(kind):
                self.query(leaves)
                self.assertEqual(self.ask("audit"), [b"found " + kind.encode()])
                self.assertEqual(self.there(kind), 0)
                self.assertEqual(self.ask("audit"), [])

    def test_what_is_known_is_no_find(self):
        self.start()
        self.query("set work_mem = '64MB'")
        self.query("prepare a as select 1")
        self.inspect("settings,statements")
        self.assertEqual(self.ask("audit"), [])
        self.assertEqual((self.there("statements"), self.query("show work_mem")), (1, [b"64MB"]))
        self.query("prepare b as select 1; listen x")
        self.assertEqual(self.ask("audit"), [b"found statements", b"found channels"])
        self.assertEqual(self.query("select name from pg_prepared_statements"), [b"a"])
        self.query("set lock_timeout = 77")
        self.assertEqual(self.ask("audit"), [b"found settings"])
        self.assertEqual(self.query("show work_mem"), [b"4MB"])


def main(words):
    global PROGRAM
    PROGRAM = words.pop(1)
    try:
        binary("postgres")
    except FileNotFoundError as why:
        print(f"skipped: {why}")
        return SKIPPED
    return not unittest.main(argv=words, exit=False).result.wasSuccessful()


if __name__ == "__main__":
    sys.exit(main(sys.argv))
