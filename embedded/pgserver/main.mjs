// pgserver: PostgreSQL with TimescaleDB for Hypertick's demo and tests, in one Node process.
//
//   node main.mjs --data DIR [--host 127.0.0.1] [--port 0] [--relaxed] [--idle-limit MS] [--parent]
//
// DIR is created where it does not exist. The password, if any, is in PGSERVER_PASSWORD.
// --parent: a parent process holds standard input; the server ends when that closes.
// One line of JSON on standard output tells the parent what happened: {"ready":{"port":…}} or {"inUse":{"pid":…}} or {"error":"…"}.
// Exit codes: 0 stopped, 1 could not start, 70 the backend crashed, 75 the data directory is in use.
import fs from 'node:fs'
import path from 'node:path'
import {parseArgs} from 'node:util'
import {acquire, InUseError} from './lock.mjs'
import {Backend} from './backend.mjs'
import {Server} from './server.mjs'

const EXIT = {ok: 0, failed: 1, crashed: 70, inUse: 75}
/** A data directory whose server was just killed is free only once that process is gone. */
const LOCK_WAIT = 1000

const started = Date.now()
const {values: flags} = parseArgs({
  options: {
    data: {type: 'string'},
    host: {type: 'string', default: '127.0.0.1'},
    port: {type: 'string', default: '0'},
    'idle-limit': {type: 'string', default: '60000'},
    relaxed: {type: 'boolean', default: false},
    parent: {type: 'boolean', default: false},
  },
})

const say = what => fs.writeSync(1, JSON.stringify(what) + '\n')
let release = () => {}

function exit(code) {
  release()
  process.exit(code)
}

if (flags.parent) {
  process.stdin.resume()
  process.stdin.on('end', () => stop())
  process.stdin.on('error', () => stop())
}

let server, backend
let stopping = false

async function stop() {
  if (stopping) return
  stopping = true
  if (!server) exit(EXIT.ok) // still starting: the database recovers from that
  server.stop()
  try {
    await backend.close()
  } catch (e) {
    console.error('closing the database:', e.message)
  }
  exit(EXIT.ok)
}
process.on('SIGTERM', stop)
process.on('SIGINT', stop)
// Node would print the error and exit with 1; the parent should know a crash from a failed start.
process.on('uncaughtException', e => crash(e))

function crash(e) {
  console.error(e.stack ?? String(e))
  setTimeout(() => exit(EXIT.crashed), 50) // the clients' last messages are on their way
}

try {
  if (!flags.data) throw new Error('--data is required')
  release = await acquire(flags.data, {wait: LOCK_WAIT})
  backend = await Backend.open(path.join(flags.data, 'pgdata'), {relaxed: flags.relaxed})
  server = new Server(backend, {password: process.env.PGSERVER_PASSWORD, idleLimit: Number(flags['idle-limit']), onAbort: crash})
  const {port} = await server.listen(flags.host, Number(flags.port))
  say({ready: {port, ms: Date.now() - started}})
} catch (e) {
  if (e instanceof InUseError) {
    say({inUse: {pid: e.pid}})
    exit(EXIT.inUse)
  }
  say({error: e.message})
  console.error(e.stack)
  exit(EXIT.failed)
}
