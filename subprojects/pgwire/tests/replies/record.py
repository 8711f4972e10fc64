"""Asks a real PostgreSQL what it answers to the sequences of the files named on the command line.

    record.py FOLDER PORT USER PASSWORD DATABASE FILE ...           writes the answers into the files
    record.py --check FOLDER PORT USER PASSWORD DATABASE FILE ...   compares them with the files

FOLDER is that of the server's Unix socket; tables and functions of the sequences are made in the
database. Each sequence runs twice. Message by message, with a Flush behind those of a batch and
until the server waits for more, which shows what answers what; a Flush changes nothing, but brings
out what the server would keep back. Then all in one send, which must give the same answers in the
same order.
"""

import sys

import sequence
from connection import Connection
from message import frame

TABLES = """
drop table if exists t, u, big cascade; drop function if exists fail, twice, tell;
create table t (a int);
create table u (a int unique deferrable initially deferred);
create view v as select 1 as a;
create table big as select i as a, repeat('x', 100) as b from generate_series(1, 500) i;
create function fail(int) returns int language plpgsql as
    $$ begin raise exception 'failed'; end $$;
create function twice(int) returns int language sql as
    $$ insert into u values ($1), ($1); select 1 $$;
create function tell(int) returns int language plpgsql as
    $$ begin raise notice 'told'; return $1; end $$;
"""
KEPT_BACK = "PBDECc"  # after these PostgreSQL does not send at once
FUNCTIONS = ("int4inc", "int4div", "fail", "twice", "tell")


class Recorder:
    """Plays sequences against one server."""

    def __init__(self, where):
        self.where = where
        self.monitor = Connection(where)
        self.monitor.query(TABLES)
        self.oids = {name: int(self.monitor.query(f"select '{name}'::regproc::oid")[0])
                     for name in FUNCTIONS}

    def connect(self):
        self.monitor.query("truncate t, u")
        return Connection(self.where, self.monitor)

    def _act(self, connection, words):
        """What a line with ! says; the messages that came while it happened."""
        if words[0] == "pause":
            return connection.wait_for(words[1])
        if words[0] == "timeout":
            self.monitor.query("select pg_sleep(0.4)")
        elif words[0] == "notify":
            self.monitor.query(f"notify {words[1]}")
        elif words[0] == "terminate":
            self.monitor.query(f"select pg_terminate_backend({connection.pid})")
            return connection.wait_for("E")
        else:
            raise ValueError(f"unknown: ! {' '.join(words)}")
        return []

    def by_message(self, messages):
        """For each message what it is answered with."""
        with self.connect() as connection:
            answers = []
            for message, following in zip(messages, messages[1:] + [[]]):
                was_open = not connection.ended
                came = self._act(connection, message[1:]) if message[0] == "!" else []
                if message[0] != "!":
                    flush = frame("H") if message[0] in KEPT_BACK else b""
                    connection.send(sequence.encoded(message, self.oids) + flush)
                if following[:2] != ["!", "pause"]:
                    came += connection.settle()
                elif message[0] != "!":
                    came += connection.wait_for("Z")
                answers.append([sequence.answer_of(message) for message in came])
                if connection.ended and was_open:
                    answers[-1].append("EOF")
            return answers

    def at_once(self, messages):
        """All answers to what is sent in one go, from one line with ! to the next."""
        with self.connect() as connection:
            came, held = [], b""
            for message in messages:
                if message[0] == "X":
                    held += frame("H")  # else the server forgets what it keeps back
                if message[0] != "!":
                    held += sequence.encoded(message, self.oids)
                    continue
                connection.send(held)
                held = b""
                if message[1] != "pause":
                    came += connection.settle()
                came += self._act(connection, message[1:])
            connection.send(held)
            came += connection.settle()
            answers = [sequence.answer_of(message) for message in came]
            return answers + ["EOF"] if connection.ended else answers

    def play(self, wanted):
        """The sequence with the answers of this server."""
        played = sequence.Sequence(wanted.name)
        for message in wanted.messages:
            played.add(message)
        played.add_probe()
        try:
            played.answers = self.by_message(played.messages)
            together = self.at_once(played.messages)
        except (OSError, RuntimeError) as error:
            raise RuntimeError(f"{wanted.name}: {error}") from error
        one_by_one = [answer for answers in played.answers for answer in answers]
        if one_by_one != together:
            raise RuntimeError(f"{wanted.name}: one by one\n{one_by_one}\nin one send\n{together}")
        return played


def check_kept_back(recorder):
    """True if the server sends unasked when 8192 bytes have gathered, and all of it after a Flush."""
    close = sequence.encoded(["C", "S", "nowhere"], {})
    fits = 8192 // len(frame("3"))
    with recorder.connect() as connection:
        came = []
        for data in (close * fits, close, frame("H")):
            connection.send(data)
            came.append(len(connection.settle()))
    print(f"CloseCompletes after {fits} Closes, one more, Flush: {came}")
    return came == [0, fits, 1]


def check(recorder, path):
    """The number of sequences, and those that this server answers differently."""
    _, sequences = sequence.read(path)
    different = [(wanted, played) for wanted, played in
                 ((wanted, recorder.play(wanted)) for wanted in sequences)
                 if str(wanted) != str(played)]
    return len(sequences), different


def check_all(where, paths):
    """True if the server answers all sequences as the files say, and when it should."""
    recorder = Recorder(where)
    n_different = 0 if check_kept_back(recorder) else 1
    for path in paths:
        n, different = check(recorder, path)
        print(f"{path}: {n} sequences, {len(different)} answered differently")
        for wanted, played in different:
            print(f"--- the file\n{wanted}\n--- the server\n{played}")
        n_different += len(different)
    return n_different == 0


def record_all(where, paths):
    """Writes what the server answers into the files."""
    recorder = Recorder(where)
    for path in paths:
        comments, sequences = sequence.read(path)
        sequence.write(path, comments, [recorder.play(wanted) for wanted in sequences])
    return True


def main(words):
    must_check = words[0] == "--check"
    folder, port, user, password, database, *paths = words[must_check:]
    where = {"folder": folder, "port": port, "user": user, "password": password,
             "database": database}
    return 0 if (check_all if must_check else record_all)(where, paths) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
