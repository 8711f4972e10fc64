// node-postgres: half of the connections are Clients, half come from a Pool.
'use strict'

const { once } = require('node:events')
const { Client, Pool, Query } = require('pg')
const { run, cancelled, equal, refused, CONNECTIONS } = require('../lib/mixed.js')

const options = (schema) => ({ options: `-c search_path=${schema},public` })
const pool = new Pool({ max: CONNECTIONS / 2, ...options('s0') })

const connected = async (schema, more = {}) => {
  const client = new Client({ ...options(schema), ...more })
  await client.connect()
  return client
}

const open = async (w) => {
  w.isPooled = w.number >= CONNECTIONS / 2
  if (w.isPooled) w.schema = 's0'
  else w.client = await connected(w.schema)
}

const close = async (w) => {
  if (!w.isPooled) await w.client.end()
}

// Runs `body` with a connection of this worker, which must be usable behind it.
const using = async (w, body) => {
  if (!w.isPooled) return body(w.client)
  const client = await pool.connect()
  try {
    await body(client)
  } catch (error) {
    client.release(true)
    throw error
  }
  client.release()
}

const rows = async (client, ...query) => (await client.query(...query)).rows

const checkOwn = async (w, c) => {
  const sequence = w.next()
  const found = await rows(c, 'select $1::int as connection, $2::int as sequence, marker from marker', [w.number, sequence])
  equal(found, [{ connection: w.number, sequence, marker: w.schema }])
}

const insert = (w, c, sequence, body = 'body') => c.query('insert into items values ($1, $2, $3)', [w.number, sequence, body])

const stored = (w, c, sequence) =>
  rows(c, 'select body from items where connection = $1 and sequence = $2', [w.number, sequence])

const failing = [
  ['22012', (w, c) => c.query('select 1 / $1::int', [0])],
  ['42601', (w, c) => c.query('selec 1')],
  ['42P01', (w, c) => c.query('select * from missing where a = $1', [1])],
  ['22P02', (w, c) => c.query('select $1::int', ['x'])],
  ['23505', (w, c) => c.query('insert into items select $1::int, 1, $2::text from generate_series(1, 2)', [w.number, 'twice'])],
]

const operations = {
  select: (w) => using(w, (c) => checkOwn(w, c)),

  transaction: (w) =>
    using(w, async (c) => {
      const sequence = w.next()
      await c.query('begin')
      await insert(w, c, sequence, `body ${sequence}`)
      equal(await stored(w, c, sequence), [{ body: `body ${sequence}` }])
      await c.query('commit')
      equal(await stored(w, c, sequence), [{ body: `body ${sequence}` }])
      equal((await c.query('delete from items where connection = $1', [w.number])).rowCount, 1)
    }),

  rollback: (w) =>
    using(w, async (c) => {
      const sequence = w.next()
      await c.query('begin')
      await insert(w, c, sequence)
      await c.query('rollback')
      equal(await stored(w, c, sequence), [])
    }),

  error: (w) =>
    using(w, async (c) => {
      const [code, fail] = w.pick(failing)
      await refused(fail(w, c), code)
      await checkOwn(w, c)
      await c.query('begin')
      await c.query('savepoint before')
      await refused(fail(w, c), code)
      await refused(c.query('select 1'), '25P02')
      await c.query('rollback to savepoint before')
      await checkOwn(w, c)
      await refused(fail(w, c), code)
      await c.query('rollback')
      await checkOwn(w, c)
    }),

  // A connection of its own, in the driver's pipeline mode; one query in the middle fails.
  batch: async (w) => {
    const c = await connected(w.schema, { pipeline: true })
    const queries = Array.from({ length: 20 }, (_, i) =>
      i === 10 ? refused(c.query('select 1 / $1::int', [0]), '22012') : checkOwn(w, c))
    await Promise.all(queries)
    await c.end()
  },

  prepared: (w) =>
    using(w, async (c) => {
      for (let i = 0; i < 5; i++) {
        const k = w.below(100)
        for (let n = w.below(7); n >= 0; n--) {
          const query = { name: `statement ${k}`, text: `select $1::int + ${k} as sum, $2::int as sequence`, values: [w.number, w.next()] }
          equal(await rows(c, query), [{ sum: w.number + k, sequence: w.sequence }])
        }
      }
    }),

  reconnect: async (w) => {
    if (w.isPooled) return (await pool.connect()).release(true)
    await w.client.end()
    w.client = await connected(w.schema)
  },

  settings: (w) =>
    using(w, async (c) => {
      const check = async (zone, name) =>
        equal(await rows(c, `select current_setting('TimeZone') as zone, current_setting('application_name') as name,
          current_setting('search_path') as path`), [{ zone, name, path: `${w.schema},public` }])
      const [{ zone, name }] = await rows(c, "select current_setting('TimeZone') as zone, current_setting('application_name') as name")
      const [otherZone, otherName] = [w.pick(['Asia/Tokyo', 'America/Lima', 'Europe/Oslo']), `worker ${w.number}`]
      await c.query(`set time zone '${otherZone}'`)
      await c.query(`set application_name = '${otherName}'`)
      for (let i = 0; i < 3; i++) await check(otherZone, otherName)
      await c.query("begin; set application_name = 'undone'; set local time zone 'Asia/Kabul'")
      await c.query('rollback')
      await check(otherZone, otherName)
      await c.query('reset time zone')
      await c.query('reset application_name')
      await check(zone, name)
    }),

  large: (w) =>
    using(w, async (c) => {
      const text = String(w.below(10)).repeat(1 << 20)
      const [{ back }] = await rows(c, 'select $1::text as back', [text])
      if (back !== text) throw new Error(`${back.length} other bytes came back`)
    }),

  // Asks for 50 rows at a time of the portal.
  cursor: (w) =>
    using(w, async (c) => {
      await c.query('begin')
      const found = await rows(c, { text: 'select i from generate_series(1, $1::int) i', values: [500], rows: 50 })
      equal(found.length, 500)
      found.forEach((row, index) => equal(row, { i: index + 1 }))
      await c.query('commit')
    }),

  cancel: (w) =>
    using(w, async (c) => {
      let cancel
      const asked = new Promise((resolve, reject) => {
        const query = new Query('select pg_sleep(30)', (error) => (error ? reject(error) : resolve()))
        c.query(query)
        cancel = () => {
          const canceller = new Client()
          canceller.cancel(c, query)
          return once(canceller.connection, 'end')
        }
      })
      await cancelled(asked, cancel, w.below(20))
      await c.query("begin; set local statement_timeout = '5ms'")
      await refused(c.query('select pg_sleep(30)'), '57014')
      await c.query('rollback')
      await checkOwn(w, c)
    }),

  // The driver does not hear that its named statements are gone, so the connection ends behind it.
  reset: async (w) => {
    const c = await connected(w.schema)
    await c.query("set application_name = 'gone'")
    await c.query({ name: 'gone', text: 'select 1' })
    await c.query('discard all')
    equal(await rows(c, "select current_setting('application_name') as name, (select count(*)::int from pg_prepared_statements where name = 'gone') as n"), [{ name: '', n: 0 }])
    await checkOwn(w, c)
    await c.end()
  },
}

run(operations, open, close).then(() => pool.end())
