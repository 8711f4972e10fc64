// postgres.js: half of the workers have an instance of one connection each, half share one of ten.
'use strict'

const { Readable, Writable } = require('node:stream')
const { pipeline } = require('node:stream/promises')
const postgres = require('postgres')
const { run, equal, refused, CONNECTIONS } = require('../lib/mixed.js')

const instance = (max, schema) =>
  postgres({ max, onnotice: () => {}, connection: { search_path: `${schema}, public`, application_name: 'postgresjs' } })
const shared = instance(CONNECTIONS / 2, 's0')

const open = async (w) => {
  w.isPooled = w.number >= CONNECTIONS / 2
  if (w.isPooled) w.schema = 's0'
  w.sql = w.isPooled ? shared : instance(1, w.schema)
}

const close = async (w) => {
  if (!w.isPooled) await w.sql.end()
}

// Runs `body` with one connection that is nobody else's meanwhile.
const reserved = async (w, body) => {
  const sql = await w.sql.reserve()
  try {
    await body(sql)
  } finally {
    sql.release()
  }
}

const checkOwn = async (w, sql) => {
  const sequence = w.next()
  equal(await sql`select ${w.number}::int as connection, ${sequence}::int as sequence, marker from marker`,
    [{ connection: w.number, sequence, marker: w.schema }])
}

const insert = (w, sql, sequence, body = 'body') => sql`insert into items values (${w.number}, ${sequence}, ${body})`

const stored = (w, sql, sequence) => sql`select body from items where connection = ${w.number} and sequence = ${sequence}`

const failing = [
  ['22012', (w, sql) => sql`select 1 / ${0}::int`],
  ['42601', (w, sql) => sql`selec ${1}`],
  ['42P01', (w, sql) => sql`select * from missing where a = ${1}`],
  ['22P02', (w, sql) => sql.unsafe("select 'x'::int")],
  ['23505', (w, sql) => sql`insert into items select ${w.number}::int, 1, 'twice' from generate_series(1, 2)`],
]

// One query of each of many texts; some pass the values, some have them in the text.
const prepared = async (w, sql) => {
  const k = w.below(100)
  const sequence = w.next()
  const found = await sql.unsafe(`select $1::int + ${k} as sum, $2::int as sequence`, [w.number, sequence], { prepare: true })
  equal(found, [{ sum: w.number + k, sequence }])
}

const operations = {
  select: (w) => checkOwn(w, w.sql),

  transaction: async (w) => {
    const sequence = w.next()
    await w.sql.begin(async (sql) => {
      await insert(w, sql, sequence, `body ${sequence}`)
      equal(await stored(w, sql, sequence), [{ body: `body ${sequence}` }])
    })
    equal(await stored(w, w.sql, sequence), [{ body: `body ${sequence}` }])
    equal((await w.sql`delete from items where connection = ${w.number}`).count, 1)
  },

  rollback: async (w) => {
    const sequence = w.next()
    const thrown = new Error('roll back')
    thrown.code = 'mine'
    await refused(w.sql.begin(async (sql) => {
      await insert(w, sql, sequence)
      throw thrown
    }), 'mine')
    equal(await stored(w, w.sql, sequence), [])
  },

  error: async (w) => {
    const [code, fail] = w.pick(failing)
    await refused(fail(w, w.sql), code)
    await checkOwn(w, w.sql)
    await w.sql.begin(async (sql) => {
      await refused(sql.savepoint((inner) => fail(w, inner)), code)
      await checkOwn(w, sql)
    })
    await refused(w.sql.begin(async (sql) => {
      await refused(fail(w, sql), code)
      await refused(sql`select 1`, '25P02')
      throw Object.assign(new Error('roll back'), { code: 'mine' })
    }), 'mine')
    await checkOwn(w, w.sql)
  },

  // Sent without waiting; one query in the middle fails.
  batch: (w) =>
    Promise.all(Array.from({ length: 20 }, (_, i) => (i === 10 ? refused(failing[0][1](w, w.sql), '22012') : checkOwn(w, w.sql)))),

  prepared: async (w) => {
    for (let i = 0; i < 10; i++) await prepared(w, w.sql)
    await reserved(w, async (sql) => {
      for (let i = 0; i < 5; i++) await prepared(w, sql)
    })
  },

  reconnect: async (w) => {
    if (w.isPooled) return // nothing ends one connection of an instance
    await w.sql.end()
    w.sql = instance(1, w.schema)
  },

  settings: (w) =>
    reserved(w, async (sql) => {
      const check = async (zone, name) =>
        equal(await sql`select current_setting('TimeZone') as zone, current_setting('application_name') as name,
          current_setting('search_path') as path`, [{ zone, name, path: `${w.schema}, public` }])
      const [{ zone }] = await sql`select current_setting('TimeZone') as zone`
      await check(zone, 'postgresjs')
      const [otherZone, otherName] = [w.pick(['Asia/Tokyo', 'America/Lima', 'Europe/Oslo']), `worker ${w.number}`]
      await sql.unsafe(`set time zone '${otherZone}'`)
      await sql`set application_name = ${sql.unsafe(`'${otherName}'`)}`
      for (let i = 0; i < 3; i++) await check(otherZone, otherName)
      await sql.unsafe("begin; set application_name = 'undone'; set local time zone 'Asia/Kabul'")
      await sql`rollback`
      await check(otherZone, otherName)
      await sql`reset time zone`
      await sql`reset application_name`
      await check(zone, 'postgresjs')
    }),

  large: async (w) => {
    const text = String(w.below(10)).repeat(1 << 20)
    const [{ back }] = await w.sql`select ${text}::text as back`
    if (back !== text) throw new Error(`${back.length} other bytes came back`)
  },

  copy: (w) =>
    w.sql.begin(async (sql) => {
      const sequences = Array.from({ length: 200 }, () => w.next())
      const lines = sequences.map((sequence) => `${w.number}\t${sequence}\tcopied\n`)
      await pipeline(Readable.from(lines), await sql`copy items from stdin`.writable())
      let text = ''
      const collect = new Writable({
        write(chunk, _, done) {
          text += chunk
          done()
        },
      })
      await pipeline(await sql`copy (select * from items where connection = ${sql.unsafe(String(w.number))} order by sequence)
        to stdout`.readable(), collect)
      equal(text, lines.join(''))
      await sql`delete from items where connection = ${w.number}`
    }),

  cursor: (w) =>
    w.sql.begin(async (sql) => {
      let n = 0
      for await (const rows of sql`select i from generate_series(1, ${500}::int) i`.cursor(50)) {
        equal(rows.length, 50)
        for (const row of rows) equal(row, { i: ++n })
      }
      equal(n, 500)
    }),

  // With a connection of its own: the driver cancels whatever the connection of the query is at. It
  // does so once only, so the whole is tried again where that was too early.
  cancel: async (w) => {
    const sql = instance(1, w.schema)
    await checkOwn(w, sql)
    for (let isCancelled = false; !isCancelled; ) {
      const query = sql.unsafe('select pg_sleep(1)').execute()
      setTimeout(() => query.cancel(), w.below(20))
      isCancelled = await query.then(() => false, (error) => error.code === '57014' || Promise.reject(error))
    }
    await refused(sql.begin(async (inner) => {
      await inner`set local statement_timeout = '5ms'`
      await inner`select pg_sleep(30)`
    }), '57014')
    await checkOwn(w, sql)
    await sql.end()
  },

  // The driver prepares again what PostgreSQL says is not there, but not within a transaction: the
  // connection ends behind it.
  reset: async (w) => {
    const sql = instance(1, w.schema)
    await sql`set application_name = 'gone'`
    await checkOwn(w, sql)
    await sql`discard all`
    equal(await sql`select current_setting('application_name') as name`, [{ name: 'postgresjs' }])
    await checkOwn(w, sql)
    await sql.end()
  },
}

run(operations, open, close).then(() => shared.end())
