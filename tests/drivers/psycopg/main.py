"""psycopg 3: half of the connections are by themselves, half come from a ConnectionPool."""

import contextlib
import logging
import sys
import threading

import psycopg
import psycopg_pool
from mixed import CONNECTIONS, equal, run_threads


def options(schema):
    return {"options": f"-c search_path={schema},public"}


pool = psycopg_pool.ConnectionPool(min_size=CONNECTIONS // 2, kwargs=options("s0"), open=False)


def connect(w):
    return psycopg.connect(**options(w.schema), autocommit=True)


def begin(w):
    if not w.is_pooled:
        w.connection = connect(w)


def end(w):
    if not w.is_pooled:
        w.connection.close()


@contextlib.contextmanager
def using(w):
    """A connection that commits each statement, unless it is told otherwise."""
    if not w.is_pooled:
        yield w.connection
        return
    with pool.connection() as c:
        c.autocommit = True
        yield c
        c.autocommit = False


@contextlib.contextmanager
def refused(code):
    try:
        yield
    except psycopg.Error as error:
        if error.sqlstate != code:
            raise
    else:
        raise AssertionError(f"no error, {code} was expected")


@contextlib.contextmanager
def cancelled(c, delay):
    """What runs in the `with` block is cancelled after a delay, and again while that was too early."""
    ended = threading.Event()

    def cancel():
        pause = delay
        while not ended.wait(pause):
            c.cancel_safe()
            pause = 0.5

    canceller = threading.Thread(target=cancel)
    canceller.start()
    try:
        yield
    finally:
        ended.set()
        canceller.join()


def check_own(w, c):
    sequence = w.next()
    found = c.execute("select %s::int, %s::int, marker from marker", [w.number, sequence]).fetchall()
    equal(found, [(w.number, sequence, w.schema)])


def insert(w, c, sequence, body="body"):
    c.execute("insert into items values (%s, %s, %s)", [w.number, sequence, body])


def stored(w, c, sequence):
    return c.execute("select body from items where connection = %s and sequence = %s", [w.number, sequence]).fetchall()


FAILING = [
    ("22012", "select %s / 0", lambda w: [w.number]),
    ("42601", "selec %s", lambda w: [w.number]),
    ("42P01", "select * from missing where a = %s", lambda w: [w.number]),
    ("22P02", "select %s::int", lambda w: ["x"]),
    ("23505", "insert into items select %s::int, 1, 'twice' from generate_series(1, 2)", lambda w: [w.number]),
]


def fail(w, c, failing):
    code, text, values = failing
    with refused(code):
        c.execute(text, values(w))


def do_select(w):
    with using(w) as c:
        check_own(w, c)


def do_transaction(w):
    sequence = w.next()
    with using(w) as c:
        with c.transaction():
            insert(w, c, sequence, f"body {sequence}")
            equal(stored(w, c, sequence), [(f"body {sequence}",)])
        equal(stored(w, c, sequence), [(f"body {sequence}",)])
        equal(c.execute("delete from items where connection = %s", [w.number]).rowcount, 1)


def do_rollback(w):
    sequence = w.next()
    with using(w) as c:
        with c.transaction():
            insert(w, c, sequence)
            raise psycopg.Rollback
        equal(stored(w, c, sequence), [])
        c.autocommit = False  # as by default: a transaction begins with the first statement
        insert(w, c, sequence)
        c.rollback()
        equal(stored(w, c, sequence), [])
        c.commit()
        c.autocommit = True


def do_error(w):
    failing = w.random.choice(FAILING)
    with using(w) as c:
        fail(w, c, failing)
        check_own(w, c)
        with c.transaction(force_rollback=True):
            with contextlib.suppress(psycopg.Rollback), c.transaction() as inner:
                fail(w, c, failing)
                with refused("25P02"):
                    c.execute("select 1")
                raise psycopg.Rollback(inner)
            check_own(w, c)
        c.autocommit = False
        fail(w, c, failing)
        with refused("25P02"):
            c.execute("select 1")
        c.rollback()
        c.autocommit = True
        check_own(w, c)


def do_batch(w):
    """In pipeline mode, one batch that succeeds and one with an error in its middle, and executemany(),
    which uses a pipeline by itself."""
    with using(w) as c:
        with c.pipeline(), c.cursor() as cursor:
            sequences = [w.next() for _ in range(20)]
            for sequence in sequences:
                cursor.execute("select %s::int, marker from marker", [sequence])
            found = [cursor.fetchall()]
            while cursor.nextset():
                found.append(cursor.fetchall())
        equal(found[-1], [(sequences[-1], w.schema)])
        with refused("22012"), c.pipeline():
            for i in range(20):
                c.execute("select 1 / %s::int", [10 - i])
        check_own(w, c)
        with c.cursor() as cursor:
            sequences = [w.next() for _ in range(20)]
            cursor.executemany("insert into items values (%s, %s, 'many') returning sequence",
                               [(w.number, sequence) for sequence in sequences], returning=True)
            found = [cursor.fetchone()[0]]
            while cursor.nextset():
                found.append(cursor.fetchone()[0])
            equal(found, sequences)
        equal(c.execute("delete from items where connection = %s", [w.number]).rowcount, 20)


def do_prepared(w):
    """Prepared by the driver from the sixth time on."""
    with using(w) as c:
        for _ in range(3):
            k = w.random.randrange(100)
            for _ in range(w.random.randint(1, 8)):
                sequence = w.next()
                equal(c.execute(f"select %s::int + {k}, %s::int", [w.number, sequence]).fetchall(),
                      [(w.number + k, sequence)])
            equal(c.execute(f"select %s::int - {k}", [w.number], prepare=True).fetchall(), [(w.number - k,)])


def do_reconnect(w):
    if w.is_pooled:
        with pool.connection() as c:
            c.close()
    else:
        w.connection.close()
        w.connection = connect(w)


def do_settings(w):
    def check(c, zone, name):
        found = c.execute("select current_setting('TimeZone'), current_setting('application_name'), "
                          "current_setting('search_path')").fetchall()
        equal(found, [(zone, name, f"{w.schema},public")])
        equal(c.info.parameter_status("TimeZone"), zone)

    other_zone, other_name = w.random.choice(["Asia/Tokyo", "America/Lima", "Europe/Oslo"]), f"worker {w.number}"
    with using(w) as c:
        zone, name = c.info.timezone.key, c.info.parameter_status("application_name")
        check(c, zone, name)
        c.execute(f"set time zone '{other_zone}'")
        c.execute("select set_config('application_name', %s, false)", [other_name])
        for _ in range(3):
            check(c, other_zone, other_name)
        with c.transaction(force_rollback=True):
            c.execute("set application_name = 'undone'")
            c.execute("set local time zone 'Asia/Kabul'")
        check(c, other_zone, other_name)
        c.execute("reset time zone")
        c.execute("reset application_name")
        check(c, zone, name)


def do_large(w):
    text = str(w.random.randrange(10)) * (1 << 20)
    with using(w) as c:
        if c.execute("select %s::text", [text]).fetchone()[0] != text:
            raise AssertionError("other bytes came back")


def do_copy(w):
    rows = [(w.number, w.next(), "copied") for _ in range(200)]
    with using(w) as c, c.transaction():
        with c.cursor().copy("copy items from stdin") as copy:
            for row in rows:
                copy.write_row(row)
        with c.cursor().copy("copy (select * from items where connection = %s order by sequence) to stdout",
                             [w.number]) as copy:
            copy.set_types(["int4", "int4", "text"])
            equal(list(copy.rows()), rows)
        c.execute("delete from items where connection = %s", [w.number])


def do_cursor(w):
    with using(w) as c, c.transaction(), c.cursor(name="streamed") as cursor:
        cursor.itersize = 50
        cursor.execute("select i from generate_series(1, %s) i", [500])
        equal(list(cursor), [(i,) for i in range(1, 501)])


def do_cancel(w):
    with using(w) as c:
        with cancelled(c, w.random.random() * 0.02), refused("57014"):
            c.execute("select pg_sleep(30)")
        with refused("57014"), c.transaction():
            c.execute("set local statement_timeout = '5ms'")
            c.execute("select pg_sleep(30)")
        check_own(w, c)


def do_reset(w):
    with using(w) as c:
        check_own(w, c)
        c.execute("set application_name = 'gone'")
        c.execute("select 1", prepare=True)
        c.execute("discard all")
        equal(c.execute("select current_setting('application_name')").fetchall(), [("",)])
        for _ in range(3):
            check_own(w, c)
        c.execute("deallocate all")
        check_own(w, c)


def main():
    logging.getLogger("psycopg").setLevel(logging.ERROR)  # it warns of what is done here on purpose
    operations = {name[3:]: value for name, value in globals().items() if name.startswith("do_")}
    with pool:
        return run_threads(operations, begin, end)


if __name__ == "__main__":
    sys.exit(main())
