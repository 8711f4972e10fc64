"""Conversations at random: legal messages of a client, and which of them it sends together.

The words are those that reply accounting is tested with (at_random.py), and besides them what a
pooler must keep apart: names and types of statements, values of all lengths, settings, transactions,
DEALLOCATE. A message is a list of words, as sequence.py says.
"""

import random

from at_random import Writer

INT4 = "23"  # its OID
LONG = "n" * 63
LEFT_BEHIND = ("listen a", "notify a")  # what is cleaned behind each transaction, and what others are told
SHOWN = """select '2024-02-03'::date, current_setting('TimeZone'), current_setting('search_path'),
    current_setting('statement_timeout'), coalesce(current_setting('app.a', true), '')"""


class Grammar(Writer):
    STATEMENT_NAMES = ["", "", "s1", "s2", "S 2", LONG, LONG + "n"]
    STATEMENTS = Writer.STATEMENTS + [
        "select $1::int", "select 'x' where $1 = 'y'", "select 1 / $1::int", "select length($1)", "select $1",
        "insert into t select generate_series(1, $1::int)", "select current_setting('TimeZone')",
        "select '2024-02-03'::date", SHOWN, "select 1; select 2", "set local DateStyle = 'german'",
        "set TimeZone = 'Asia/Tokyo'",
        "set search_path = x, public", "select set_config('app.a', 'by statement', false)", "execute q1"]
    QUERIES = [sql for sql in Writer.QUERIES if sql not in LEFT_BEHIND] + [
        "begin; select 1", "select $1", "release s", SHOWN, SHOWN]
    # public is on every path: PL/pgSQL calls a function as it was visible when it was compiled.
    SETTINGS = [
        "set TimeZone = 'Asia/Tokyo'", "set TimeZone = 'No/Such'", "set DateStyle = 'SQL, DMY'", "reset TimeZone",
        "set local TimeZone = 'Africa/Cairo'", "set session application_name = 'it''s'", "reset all",
        "set IntervalStyle = 'iso_8601'; select interval '90 s'", "discard all", "set search_path = y, public",
        "set statement_timeout = '77s'", "reset statement_timeout", "set app.a = 'by set'",
        "select set_config('app.a', 'by function', false)", "do $$ begin set search_path = z, public; end $$"]
    OF_SQL = ["prepare q1 as select 1", "execute q1", "execute q1", "deallocate q1", "prepare q2(int) as select $1 + 1",
              "execute q2(41)", "prepare q1 as select '2024-02-03'::date"]
    DEALLOCATIONS = ["deallocate s1", "DEALLOCATE PREPARE s2;", 'deallocate "S 2"', "deallocate s3", "deallocate all",
                     f"deallocate {LONG}"]
    PARTS = ["query", "batch", "batch", "pieces", "pieces", "pieces", "copy", "prepared_copy", "call", "parts", "stray",
             "setting", "setting", "deallocation", "of_sql", "transaction"]
    PARTS_OF_TRANSACTION = ["query", "batch", "pieces", "prepared_copy", "call", "setting", "deallocation", "of_sql"]
    LENGTHS = [0, 1, 1, 2, 2047, 8192, 70000]
    STARTUPS = [{}, {}, {"TimeZone": "Europe/Paris", "DateStyle": "german"}, {"options": "-c application_name=o\\'s"}]

    def value(self):
        return self.rng.choice(["1", "2", "0", "x" * self.rng.choice(self.LENGTHS)])

    def pieces(self):
        """Of statements and portals, in any order."""
        for _ in range(self.rng.choice([1, 2, 3, 5, 20])):
            self.piece(self.rng.choice(self.STATEMENT_NAMES), self.rng.choice(self.PORTAL_NAMES))
        self.maybe(0.6, "S")

    def piece(self, name, portal):
        rng = self.rng
        self.add(*rng.choice([
            lambda: ("P", name, rng.choice(self.STATEMENTS), *[INT4] * rng.randrange(2)),
            lambda: ("P", name, rng.choice(self.STATEMENTS)),
            lambda: ("P", name, f"select length('{'x' * rng.choice(self.LENGTHS)}')"),
            lambda: ("B", portal, name), lambda: ("B", portal, name, self.value()),
            lambda: ("B", portal, name, self.value()), lambda: ("E", portal, str(rng.randrange(3))),
            lambda: ("E", portal), lambda: ("D", "S", name), lambda: ("D", "P", portal), lambda: ("C", "S", name),
            lambda: ("C", "P", portal), lambda: ("H",)])())

    def prepared_copy(self):
        name = self.rng.choice(self.STATEMENT_NAMES)
        self.add("C", "S", name)
        self.add("P", name, f"copy {self.rng.choice(self.TARGETS)} from stdin")
        self.maybe(0.3, "S")
        self.add("B", "", name)
        self.add("E")
        self.data()
        self.add("S")

    def once(self, sql):
        """By a Query or by a batch."""
        if self.rng.random() < 0.6:
            self.add("Q", sql)
        else:
            for words in (["P", "", sql], ["B"], ["E"]):
                self.add(*words)
            self.maybe(0.7, "S")

    def setting(self):
        self.once(self.rng.choice(self.SETTINGS))

    def of_sql(self):
        self.once(self.rng.choice(self.OF_SQL))

    def deallocation(self):
        self.once(self.rng.choice(self.DEALLOCATIONS))

    def transaction(self):
        self.once("begin")
        for _ in range(self.rng.randrange(4)):
            getattr(self, self.rng.choice(self.PARTS_OF_TRANSACTION))()
        self.add("S")
        self.once(self.rng.choice(["commit", "commit", "rollback"]))

    def sends(self):
        """The messages, as lists of those that go together. The last ones show what is left over."""
        sends = [[]]
        for message in self.write():
            sends[-1].append(message)
            if self.rng.random() < (0.5 if message[0] in "QSF" else 0.05):
                sends.append([])
        return [send for send in sends if send] + [[["c"], ["c"], ["S"]], [["Q", "select 'end'"]]]


def conversation(seed):
    """What is sent, and the settings that the client comes with. The same seed gives the same."""
    grammar = Grammar(random.Random(seed))
    return grammar.sends(), grammar.rng.choice(grammar.STARTUPS)
