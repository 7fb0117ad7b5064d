import {test} from 'node:test'
import assert from 'node:assert/strict'
import {setImmediate as tick, setTimeout as sleep} from 'node:timers/promises'
import {Scheduler} from '../scheduler.mjs'
import {Channels} from '../notify.mjs'
import {Settings} from '../settings.mjs'
import {query, readyForQuery, message, cstr, sync, stringAt, T} from '../protocol.mjs'

/** Answers as a backend does: a simple query "a:begin" opens a transaction, "a:commit" ends it. It keeps what it was given. */
class Script {
  log = []
  state = 'I'
  dead = false

  exec(bufs) {
    if (this.dead) throw new Error('unreachable')
    const out = []
    for (const b of bufs) {
      if (b[0] === T.QUERY) {
        const sql = stringAt(b, 5)
        this.log.push(sql)
        if (sql.endsWith('begin')) this.state = 'T'
        if (sql.endsWith('commit') || sql === 'rollback') this.state = 'I'
        if (sql.includes('notify')) out.push(message('A', [0, 0, 0, 99], cstr('ch'), cstr(sql)))
        out.push(message('C', cstr(sql)), readyForQuery(this.state))
      } else if (b[0] === T.SYNC) out.push(readyForQuery(this.state))
      else this.log.push(String.fromCharCode(b[0]) + stringAt(b, b[0] === T.CLOSE ? 6 : 5))
    }
    return Buffer.concat(out)
  }

  run(sql) {
    this.exec([query(sql)])
    return []
  }

  rollback() {
    this.exec([query('rollback')])
  }
}

let pids = 0
function session(scheduler, user = 'postgres') {
  const s = {
    pid: ++pids, queue: [], names: new Set(), settings: new Settings(user), dead: false, written: [], ended: null,
    write: b => s.written.push(b), done: () => {},
    fatal(code) { s.ended = code; s.dead = true; s.queue = []; scheduler.ended(s) },
    send(sql, more = {}) {
      s.queue.push({bufs: [query(sql)], sync: true, effects: [], ...more})
      scheduler.enqueue(s)
    },
  }
  return s
}

function setup(options = {}) {
  const backend = new Script()
  const channels = new Channels()
  const aborts = []
  const scheduler = new Scheduler(backend, {channels, roles: {forget() {}}, onAbort: e => aborts.push(e), ...options})
  return {backend, channels, scheduler, aborts}
}

async function until(condition) {
  while (!condition()) await tick()
}
const isClientSQL = sql => /^[a-z]\d*:/.test(sql)

test('clients take turns', async () => {
  const {backend, scheduler} = setup()
  const [a, b] = [session(scheduler), session(scheduler)]
  for (let i = 0; i < 3; i++) a.send(`a:${i}`)
  for (let i = 0; i < 3; i++) b.send(`b:${i}`)
  await until(() => backend.log.filter(isClientSQL).length === 6)
  assert.deepEqual(backend.log.filter(isClientSQL), ['a:0', 'b:0', 'a:1', 'b:1', 'a:2', 'b:2'])
})

test('a transaction is not interrupted, not even by tasks', async () => {
  const {backend, scheduler} = setup()
  const [a, b] = [session(scheduler), session(scheduler)]
  a.send('a:begin')
  b.send('b:1')
  scheduler.task(() => backend.log.push('x:task'))
  await until(() => a.written.length === 1)
  for (let i = 0; i < 20; i++) await tick()
  a.send('a:2')
  a.send('a:commit')
  await until(() => b.written.length === 1)
  const log = backend.log.filter(isClientSQL)
  assert.deepEqual(log.slice(log.indexOf('a:begin')).filter(s => s[0] !== 'x'), ['a:begin', 'a:2', 'a:commit', 'b:1'])
  assert.ok(!['a:begin', 'a:2'].includes(log[log.indexOf('x:task') - 1]))
})

test('a client that is gone in a transaction is rolled back and its statements closed', async () => {
  const {backend, scheduler} = setup()
  const [a, b] = [session(scheduler), session(scheduler)]
  a.names.add('c1.s')
  a.send('a:begin')
  b.send('b:1')
  await until(() => a.written.length === 1)
  a.dead = true
  scheduler.ended(a)
  await until(() => b.written.length === 1 && backend.log.includes('Cc1.s'))
  assert.ok(backend.log.indexOf('rollback') < backend.log.indexOf('b:1'))
})

test('a unit without a sync keeps the backend', async () => {
  const {backend, scheduler} = setup()
  const [a, b] = [session(scheduler), session(scheduler)]
  a.queue.push({bufs: [message('P', cstr('s'))], sync: false, effects: []})
  scheduler.enqueue(a)
  b.send('b:1')
  for (let i = 0; i < 20; i++) await tick()
  assert.equal(b.written.length, 0)
  a.queue.push({bufs: [sync], sync: true, effects: []})
  scheduler.enqueue(a)
  await until(() => b.written.length === 1)
})

test('the unnamed statement is replayed when another client came between', async () => {
  const {backend, scheduler} = setup()
  const [a, b] = [session(scheduler), session(scheduler)]
  const parse = message('P', cstr('of a'))
  a.unnamed = parse
  a.queue.push({bufs: [parse, sync], sync: true, effects: [], setsUnnamed: true})
  scheduler.enqueue(a)
  await until(() => a.written.length === 1)
  a.send('a:1', {usesUnnamed: true})
  await until(() => a.written.length === 2)
  assert.equal(backend.log.filter(s => s === 'Pof a').length, 1, 'still there')
  b.send('b:1', {setsUnnamed: true})
  a.send('a:2', {usesUnnamed: true})
  await until(() => a.written.length === 3)
  assert.equal(backend.log.filter(s => s === 'Pof a').length, 2, 'replayed')
})

test('the unnamed statement is replayed when the server itself ran something between', async () => {
  const {backend, scheduler} = setup()
  const [a, reader] = [session(scheduler), session(scheduler, 'reader')]
  const parse = message('P', cstr('of a'))
  const replays = () => backend.log.filter(s => s === 'Pof a').length
  a.unnamed = parse
  a.queue.push({bufs: [parse, sync], sync: true, effects: [], setsUnnamed: true})
  scheduler.enqueue(a)
  await until(() => a.written.length === 1)
  let done = false
  scheduler.task(() => scheduler.asServer(() => { backend.run('checkpoint'); done = true }))
  await until(() => done)
  a.send('a:1', {usesUnnamed: true})
  await until(() => a.written.length === 2)
  assert.equal(replays(), 2, 'after a task')
  reader.send('b:1') // of other settings, which are put on by a simple query
  a.send('a:2', {usesUnnamed: true})
  await until(() => a.written.length === 3)
  assert.equal(replays(), 3, 'after a change of settings')
})

test('settings are put on only where clients differ', async () => {
  const {backend, scheduler} = setup()
  const [a, b, c] = [session(scheduler), session(scheduler), session(scheduler, 'reader')]
  for (const s of [a, b, a, c, c, b]) {
    const n = s.written.length
    s.send('q:1')
    await until(() => s.written.length > n)
  }
  assert.equal(backend.log.filter(s => s.startsWith('reset session authorization')).length, 3)
  assert.equal(backend.log.filter(s => s.includes('"reader"')).length, 1)
})

test('notifications go to those who listen, with the pid of the sender', async () => {
  const {channels, scheduler} = setup()
  const [a, b, c] = [session(scheduler), session(scheduler), session(scheduler)]
  channels.listen('ch', b)
  channels.listen('other', c)
  a.send('notify')
  await until(() => a.written.length === 1)
  assert.equal(b.written.length, 1)
  assert.equal(b.written[0][0], T.NOTIFICATION)
  assert.equal(b.written[0].readInt32BE(5), a.pid)
  assert.equal(c.written.length, 0)
  assert.ok(!a.written[0].includes(Buffer.from('ch\0')))
})

test('an idle transaction is ended while others wait, and only then', async () => {
  const {backend, scheduler} = setup({idleLimit: 30})
  const [a, b] = [session(scheduler), session(scheduler)]
  a.send('a:begin')
  await until(() => a.written.length === 1)
  await sleep(60)
  assert.equal(a.ended, null)
  b.send('b:1')
  while (!b.written.length) await sleep(5)
  assert.equal(a.ended, '25P03')
  assert.ok(backend.log.indexOf('rollback') < backend.log.indexOf('b:1'))
})

test('a backend that aborts ends everything once', async () => {
  const {backend, scheduler, aborts} = setup()
  const a = session(scheduler)
  backend.dead = true
  a.send('a:1')
  await until(() => aborts.length)
  a.send('a:2')
  for (let i = 0; i < 20; i++) await tick()
  assert.equal(aborts.length, 1)
})
