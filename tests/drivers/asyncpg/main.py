"""asyncpg: half of the connections are by themselves, half come from its pool, which resets each of them
when it is given back."""

import asyncio
import contextlib
import io
import sys

import asyncpg
from mixed import CONNECTIONS, equal, run_tasks


def options(schema):
    return {"server_settings": {"search_path": f"{schema},public", "application_name": "asyncpg"}}


async def begin(w):
    if not w.is_pooled:
        w.connection = await asyncpg.connect(**options(w.schema))


async def end(w):
    if not w.is_pooled:
        await w.connection.close()


@contextlib.asynccontextmanager
async def using(w):
    if w.is_pooled:
        async with pool.acquire() as c:
            yield c
    else:
        yield w.connection


@contextlib.contextmanager
def refused(code):
    try:
        yield
    except asyncpg.PostgresError as error:
        if error.sqlstate != code:
            raise
    else:
        raise AssertionError(f"no error, {code} was expected")


async def check_own(w, c):
    sequence = w.next()
    found = await c.fetch("select $1::int, $2::int, marker from marker", w.number, sequence)
    equal([tuple(row) for row in found], [(w.number, sequence, w.schema)])


async def insert(w, c, sequence, body="body"):
    await c.execute("insert into items values ($1, $2, $3)", w.number, sequence, body)


async def stored(w, c, sequence):
    found = await c.fetch("select body from items where connection = $1 and sequence = $2", w.number, sequence)
    return [row["body"] for row in found]


async def forget(w, c, n):
    equal(await c.execute("delete from items where connection = $1", w.number), f"DELETE {n}")


FAILING = [
    ("22012", "select $1::int / 0", lambda w: [w.number]),
    ("42601", "selec 1", lambda w: []),
    ("42P01", "select * from missing where a = $1", lambda w: [w.number]),
    ("22P02", "select 'x'::int", lambda w: []),
    ("23505", "insert into items select $1::int, 1, 'twice' from generate_series(1, 2)", lambda w: [w.number]),
]


async def fail(w, c, failing):
    code, text, values = failing
    with refused(code):
        await c.fetch(text, *values(w))


async def do_select(w):
    async with using(w) as c:
        await check_own(w, c)


async def do_transaction(w):
    sequence = w.next()
    async with using(w) as c:
        async with c.transaction():
            await insert(w, c, sequence, f"body {sequence}")
            equal(await stored(w, c, sequence), [f"body {sequence}"])
        equal(await stored(w, c, sequence), [f"body {sequence}"])
        await forget(w, c, 1)


async def do_rollback(w):
    sequence = w.next()
    async with using(w) as c:
        transaction = c.transaction()
        await transaction.start()
        await insert(w, c, sequence)
        await transaction.rollback()
        equal(await stored(w, c, sequence), [])


async def do_error(w):
    failing = w.random.choice(FAILING)
    async with using(w) as c:
        await fail(w, c, failing)
        await check_own(w, c)
        transaction = c.transaction()
        await transaction.start()
        inner = c.transaction()  # a savepoint
        await inner.start()
        await fail(w, c, failing)
        with refused("25P02"):
            await c.fetch("select 1")
        await inner.rollback()
        await check_own(w, c)
        await fail(w, c, failing)
        await transaction.rollback()
        await check_own(w, c)


async def do_batch(w):
    async with using(w) as c:
        rows = [(w.number, w.next(), "many") for _ in range(50)]
        await c.executemany("insert into items values ($1, $2, $3)", rows)
        with refused("23505"):  # all or nothing
            await c.executemany("insert into items values ($1, $2, $3)", [(w.number, w.next(), "many"), rows[7]])
        await forget(w, c, 50)
        found = await c.fetchmany("select $1::int, marker from marker", [(row[1],) for row in rows])
        equal([tuple(row) for row in found], [(row[1], w.schema) for row in rows])


async def do_prepared(w):
    async with using(w) as c:
        for _ in range(5):
            k = w.random.randrange(100)
            for _ in range(w.random.randint(1, 4)):
                sequence = w.next()
                found = await c.fetch(f"select $1::int + {k}, $2::int", w.number, sequence)
                equal([tuple(row) for row in found], [(w.number + k, sequence)])
            statement = await c.prepare(f"select $1::int - {k}")
            equal([await statement.fetchval(n) for n in range(4)], [n - k for n in range(4)])


async def do_reconnect(w):
    if w.is_pooled:
        async with pool.acquire() as c:
            await c.close()
    else:
        await end(w)
        await begin(w)


async def do_settings(w):
    async def check(zone, name):
        found = await c.fetch("select current_setting('TimeZone'), current_setting('application_name'), "
                              "current_setting('search_path')")
        equal(tuple(found[0]), (zone, name, f"{w.schema},public"))
        equal(c.get_settings().TimeZone, zone)

    other_zone, other_name = w.random.choice(["Asia/Tokyo", "America/Lima", "Europe/Oslo"]), f"worker {w.number}"
    async with using(w) as c:
        zone = c.get_settings().TimeZone
        await check(zone, "asyncpg")
        await c.execute(f"set time zone '{other_zone}'")
        await c.execute("select set_config('application_name', $1, false)", other_name)
        for _ in range(3):
            await check(other_zone, other_name)
        transaction = c.transaction()
        await transaction.start()
        await c.execute("set application_name = 'undone'; set local time zone 'Asia/Kabul'")
        await transaction.rollback()
        await check(other_zone, other_name)
        await c.reset()
        await check(zone, "asyncpg")


async def do_large(w):
    text = str(w.random.randrange(10)) * (1 << 20)
    async with using(w) as c:
        if await c.fetchval("select $1::text", text) != text:
            raise AssertionError("other bytes came back")


async def do_copy(w):
    rows = [(w.number, w.next(), "copied") for _ in range(200)]
    async with using(w) as c, c.transaction():
        await c.copy_records_to_table("items", records=rows)
        out = io.BytesIO()
        await c.copy_from_query("select * from items where connection = $1 order by sequence", w.number, output=out)
        equal(out.getvalue().decode(), "".join("\t".join(map(str, row)) + "\n" for row in rows))
        await forget(w, c, 200)


async def do_cursor(w):
    async with using(w) as c, c.transaction():
        found = [row["i"] async for row in c.cursor("select i from generate_series(1, $1::int) i", 500, prefetch=50)]
        equal(found, list(range(1, 501)))


async def do_cancel(w):
    """A time-out and the end of the task that waits: the driver cancels the query for both, once, which
    may be before it has begun, and so it would end by itself, too."""
    async with using(w) as c:
        try:
            await c.execute("select pg_sleep(1)", timeout=w.random.random() * 0.02)
            raise AssertionError("no time-out")
        except TimeoutError:
            await check_own(w, c)
        task = asyncio.create_task(c.fetchval("select pg_sleep(1)"))
        await asyncio.sleep(w.random.random() * 0.02)
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task
        with refused("57014"):
            async with c.transaction():
                await c.execute("set local statement_timeout = '5ms'")
                await c.execute("select pg_sleep(30)")
        await check_own(w, c)


async def do_reset(w):
    async with using(w) as c:
        await c.execute("set application_name = 'gone'")
        await c.reset()
        equal(await c.fetchval("select current_setting('application_name')"), "asyncpg")
        await check_own(w, c)
        await c.reload_schema_state()  # forgets its statements
        await check_own(w, c)


async def main():
    global pool
    operations = {name[3:]: value for name, value in globals().items() if name.startswith("do_")}
    async with asyncpg.create_pool(min_size=CONNECTIONS // 2, max_size=CONNECTIONS // 2, **options("s0")) as pool:
        return await run_tasks(operations, begin, end)


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
