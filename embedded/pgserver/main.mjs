// pgserver: PostgreSQL with TimescaleDB for Hypertick's demo and tests, in one Node process.
//
//   node main.mjs --data DIR [--host 127.0.0.1] [--port 0] [--relaxed] [--short-lived] [--idle-limit MS] [--unit-limit MS] [--parent]
//
// DIR is created where it does not exist. The password, if any, is in PGSERVER_PASSWORD.
// --relaxed: commits are not forced to the disk. --parent: a parent process holds standard input; the server ends when that closes.
// --short-lived: for a server of a few seconds. Its code is compiled quickly, and not optimized.
// --idle-limit: how long a client may idle in a transaction while others wait. --unit-limit: how long one statement may run; nothing can
// interrupt it, so after that the server exits.
// One line of JSON on standard output tells the parent what happened: {"ready":{"port":…}} or {"inUse":{"pid":…}} or {"error":"…"}.
// Exit codes: 0 stopped, 1 could not start, 70 the backend crashed or hangs, 75 the data directory is in use.
//
// This thread handles the lock, signals and the parent, and the other thread (worker.mjs) serves: a statement blocks that one while it
// runs.
import fs from 'node:fs'
import path from 'node:path'
import v8 from 'node:v8'
import {parseArgs} from 'node:util'
import {Worker} from 'node:worker_threads'
import {acquire, InUseError} from './lock.mjs'

const EXIT = {ok: 0, failed: 1, crashed: 70, inUse: 75}
/** A data directory whose server was just killed is free only once that process has exited. */
const LOCK_WAIT = 1000
/** How long a stop waits for the statement that is running and for the checkpoint. */
const STOP_WAIT = 2500
/** PostgreSQL's recursion uses the stack of JavaScript too, more of it than the usual megabyte. */
const STACK_MB = 16

const {values: flags} = parseArgs({
  options: {
    data: {type: 'string'},
    host: {type: 'string', default: '127.0.0.1'},
    port: {type: 'string', default: '0'},
    'idle-limit': {type: 'string', default: '60000'},
    'unit-limit': {type: 'string', default: '900000'},
    relaxed: {type: 'boolean', default: false},
    'short-lived': {type: 'boolean', default: false},
    parent: {type: 'boolean', default: false},
  },
})

// The optimizing compiler would take more time than it saves.
if (flags['short-lived']) v8.setFlagsFromString('--liftoff-only')

const started = Date.now()
const busySince = new BigInt64Array(new SharedArrayBuffer(8)) // when the running statement began, ms since 1970; 0 for none
let release = () => {}
let worker
let stopping = false

const say = what => fs.writeSync(1, JSON.stringify(what) + '\n')

function exit(code) {
  release()
  process.exit(code)
}

/** The database recovers from an exit without a checkpoint, it only takes longer to start. */
function stop() {
  if (stopping) return
  stopping = true
  if (!worker) exit(EXIT.ok)
  worker.postMessage('stop')
  setTimeout(() => exit(EXIT.ok), STOP_WAIT)
}

process.on('SIGTERM', stop)
process.on('SIGINT', stop)
if (flags.parent) process.stdin.resume().on('end', stop).on('error', stop)

function fail(e) {
  say({error: e.message})
  console.error(e.stack)
  exit(EXIT.failed)
}

function crash(text) {
  console.error(text)
  setTimeout(() => exit(EXIT.crashed), 50) // so that the last messages reach the clients
}

function watch() {
  const limit = Number(flags['unit-limit'])
  const since = Number(Atomics.load(busySince, 0))
  if (since && Date.now() - since > limit) crash(`a statement has run for ${limit} ms and cannot be interrupted`)
}

try {
  if (!flags.data) throw new Error('--data is required')
  release = await acquire(flags.data, {wait: LOCK_WAIT})
} catch (e) {
  if (!(e instanceof InUseError)) fail(e)
  say({inUse: {pid: e.pid}})
  exit(EXIT.inUse)
}
if (stopping) exit(EXIT.ok)

let ready = false
worker = new Worker(new URL('./worker.mjs', import.meta.url), {
  resourceLimits: {stackSizeMb: STACK_MB, maxOldGenerationSizeMb: 4096},
  workerData: {
    dataDir: path.join(flags.data, 'pgdata'),
    host: flags.host, port: Number(flags.port), relaxed: flags.relaxed, idleLimit: Number(flags['idle-limit']),
    password: process.env.PGSERVER_PASSWORD, busySince,
  },
})
worker.on('message', m => {
  if (m.port) {
    ready = true
    say({ready: {port: m.port, ms: Date.now() - started}})
    setInterval(watch, 1000)
  } else if (m.crashed) crash(m.crashed)
  else if (m.stopped) exit(EXIT.ok)
})
worker.on('error', e => (ready ? crash(e.stack) : stopping ? exit(EXIT.ok) : fail(e)))
worker.on('exit', code => (stopping ? exit(EXIT.ok) : crash(`the server thread has ended with ${code}`)))
