// What the programs of Node.js share: the workers, their random choices and the report. ../README.md
// says what each operation does.
'use strict'

const assert = require('node:assert')

const setting = (name) => {
  const value = process.env[name]
  if (value === undefined) throw new Error(`${name} is not set`)
  return value
}

const SECONDS = Number(setting('WEIR_SECONDS'))
const SEED = Number(setting('WEIR_SEED'))
const CONNECTIONS = Number(setting('WEIR_CONNECTIONS'))
const MIX = setting('WEIR_MIX').split(' ').map((word) => word.split('='))
const GRACE_MS = 20000

// mulberry32
const generator = (state) => () => {
  state = (state + 0x6d2b79f5) | 0
  let mixed = Math.imul(state ^ (state >>> 15), 1 | state)
  mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed
  return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296
}

class Worker {
  constructor(number, kinds) {
    this.number = number
    this.sequence = 0
    this.schema = `s${number % 4}`
    this.doing = 'start'
    this.random = generator(SEED * 1000 + number)
    this.todo = kinds.map((_, index) => kinds[(index + number) % kinds.length]) // each once, then at random
    this.drawn = MIX.filter(([kind]) => kinds.includes(kind)).flatMap(([kind, weight]) => Array(Number(weight)).fill(kind))
  }

  next() {
    return ++this.sequence
  }

  below(limit) {
    return Math.floor(this.random() * limit)
  }

  pick(list) {
    return list[this.below(list.length)]
  }

  kind() {
    return this.todo.shift() ?? this.pick(this.drawn)
  }
}

// `operations` is {kind: async (worker) => ...}; open(worker) and close(worker) begin and end a worker's work.
const run = async (operations, open, close) => {
  const kinds = Object.keys(operations)
  const counts = Object.fromEntries(kinds.map((kind) => [kind, 0]))
  const unexpected = []
  const workers = Array.from({ length: CONNECTIONS }, (_, number) => new Worker(number, kinds))
  const deadline = Date.now() + SECONDS * 1000

  const report = () => {
    for (const kind of kinds) console.log(`${kind} ${counts[kind]}`)
    for (const text of unexpected) console.log(`unexpected: ${text}`)
  }
  const work = async (worker) => {
    try {
      await open(worker)
      while (Date.now() < deadline) {
        worker.doing = worker.kind()
        await operations[worker.doing](worker)
        counts[worker.doing]++
      }
      worker.doing = 'close'
      await close(worker)
    } catch (error) {
      unexpected.push(`connection ${worker.number}, ${worker.doing}: ${error.stack} ${JSON.stringify(error)}`)
    }
    worker.doing = null
  }

  const watchdog = setTimeout(() => {
    for (const worker of workers) if (worker.doing) unexpected.push(`connection ${worker.number} is stuck in ${worker.doing}`)
    report()
    process.exit(1)
  }, SECONDS * 1000 + GRACE_MS)
  await Promise.all(workers.map(work))
  clearTimeout(watchdog)
  report()
  process.exitCode = unexpected.length ? 1 : 0
}

const equal = (found, wanted) => assert.deepStrictEqual(JSON.parse(JSON.stringify(found)), wanted)

// The promise must be rejected with this SQLSTATE.
const refused = async (promise, code) => {
  let error
  try {
    await promise
  } catch (caught) {
    error = caught
  }
  if (error === undefined) throw new Error(`no error, ${code} was expected`)
  if (error.code !== code) throw error
}

// The query of this promise is cancelled after `delay` ms, and again while that was too early. `cancel`
// returns a promise of its end, from which on it can hit no other query.
const cancelled = async (promise, cancel, delay) => {
  const ends = []
  let repeated
  const first = setTimeout(() => {
    ends.push(cancel())
    repeated = setInterval(() => ends.push(cancel()), 500)
  }, delay)
  await refused(promise, '57014')
  clearTimeout(first)
  clearInterval(repeated)
  await Promise.all(ends)
}

module.exports = { run, cancelled, equal, refused, CONNECTIONS }
