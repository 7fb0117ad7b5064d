// Schedules the clients on the one backend. Clients take turns unit by unit; one with an open transaction, or an extended-query exchange that
// it has not synced, keeps the backend until it is done.
import {T, sync, messages, commandComplete, firstError, closeStatement} from './protocol.mjs'
import {quoteName} from './sql.mjs'

export class Scheduler {
  #backend
  #channels
  #roles
  #idleLimit
  #onAbort
  #ready = new Set()     // sessions with units waiting, in the order of their turns
  #tasks = []            // the server's own work: functions to call when no client holds the backend
  #holder = null
  #heldSince = 0         // when the holder's last unit ended
  #idleTimer = null
  #scheduled = false
  #stopped = false
  #inForce = ''          // key of the settings in force
  #unnamedOwner = null   // whose unnamed statement the backend has
  #temps = new Set()     // sessions that may have temporary tables

  /** idleLimit: ms that a client may idle in a transaction while others wait. onAbort is called with the error when the backend dies. */
  constructor(backend, {channels, roles, idleLimit = 60_000, onAbort}) {
    this.#backend = backend
    this.#channels = channels
    this.#roles = roles
    this.#idleLimit = idleLimit
    this.#onAbort = onAbort
  }

  /** The session has something in its queue. */
  enqueue(session) {
    this.#ready.add(session)
    this.#schedule()
  }

  /** Calls fn when no client holds the backend. */
  task(fn) {
    this.#tasks.push(fn)
    this.#schedule()
  }

  /** The session has ended: rolls back its transaction and closes its statements. */
  ended(session) {
    this.#ready.delete(session)
    if (this.#holder === session) {
      this.#guard(() => {
        this.#backend.rollback()
        this.#release()
        this.#inForce = '' // the rollback may have undone a SET
      })
    }
    this.#tasks.push(() => this.#cleanUp(session))
    this.#schedule()
  }

  /** Starts no more work. */
  stop() {
    this.#stopped = true
    clearTimeout(this.#idleTimer)
  }

  /** Applies the session's settings. Throws an SQL error if that fails. */
  assume(session) {
    if (session.settings.key === this.#inForce) return
    this.#inForce = ''
    this.#unnamedOwner = null // every simple query ends the unnamed statement, the server's own too
    this.#backend.run(session.settings.sql())
    this.#inForce = session.settings.key
  }

  /** Calls fn with the backend as its owner, with its own settings. Only inside a task. */
  asServer(fn) {
    this.#inForce = ''
    this.#backend.run('reset session authorization; reset all')
    return fn()
  }

  #schedule() {
    if (this.#scheduled || this.#stopped) return
    this.#scheduled = true
    // Not at once: sockets are read between two units, so that no client waits for the whole queue of another.
    setImmediate(() => {
      this.#scheduled = false
      this.#guard(() => this.#step())
    })
  }

  /** An exception in fn that is not an SQL error means that the WASM has aborted and cannot be used any more. */
  #guard(fn) {
    if (this.#stopped) return
    try {
      fn()
    } catch (e) {
      this.stop()
      this.#onAbort(e)
    }
  }

  #step() {
    if (this.#stopped) return
    if (!this.#holder && this.#tasks.length) this.#task(this.#tasks.shift())
    else this.#turn()
    if (this.#holder ? this.#ready.has(this.#holder) : this.#ready.size || this.#tasks.length) this.#schedule()
    else if (this.#holder && (this.#ready.size || this.#tasks.length)) this.#watchHolder()
  }

  #task(fn) {
    this.#unnamedOwner = null
    try {
      fn()
    } catch (e) {
      if (!e.sql) throw e
      console.error('internal statement failed:', e.message)
    }
  }

  #turn() {
    const session = this.#holder ?? this.#ready.values().next().value
    if (!session || !this.#ready.delete(session)) return
    const unit = session.queue.shift()
    if (session.queue.length) this.#ready.add(session) // behind the others
    if (unit) this.#run(session, unit)
  }

  #run(session, unit) {
    if (!this.#holder) {
      try {
        this.assume(session)
      } catch (e) {
        if (!e.sql) throw e
        return session.fatal(e.code, e.message)
      }
    }
    if (unit.usesUnnamed && session.unnamed && this.#unnamedOwner !== session) {
      this.#backend.exec(this.#holder ? [session.unnamed] : [session.unnamed, sync])
    }
    if (unit.usesUnnamed || unit.setsUnnamed) this.#unnamedOwner = session

    let out = this.#backend.exec(unit.bufs)
    if (unit.sync && !readyState(out)) out = Buffer.concat([out, this.#backend.exec([sync])]) // a COPY ate the Sync
    const state = unit.sync ? readyState(out) : null
    if (unit.sync && !state) throw new Error('the backend did not answer a Sync')
    this.#holder = state === 'I' ? null : session
    this.#heldSince = Date.now()
    session.state = state ?? session.state

    if (unit.copy) out = afterCopyIn(out)
    if (unit.tag) out = retag(out, unit.tag)
    if (this.#channels.size || unit.effects.length) {
      this.#listens(session, unit, out)
      if (this.#channels.size) out = this.#channels.dispatch(out, session.pid)
    }
    if (unit.effects.length) this.#effects(session, unit, out)
    if (session.dirty && !this.#holder) this.#snapshot(session)
    if (!this.#holder) this.#release()
    session.write(out)
    session.done(unit)
  }

  #listens(session, unit, out) {
    const listens = unit.effects.flatMap(e => e.listens ?? (e.discardAll ? [{listen: false, channel: '*'}] : []))
    if (!listens.length || firstError(out)) return
    for (const {listen, channel} of listens) {
      if (listen) this.#channels.listen(channel, session)
      else this.#channels.unlisten(channel, session)
    }
    // An UNLISTEN in the backend was for every client.
    if (listens.some(l => !l.listen) && this.#channels.size) this.task(() => this.#backend.run(this.#channels.names().map(n => `listen ${quoteName(n)}`).join('; ')))
  }

  #effects(session, unit, out) {
    for (const e of unit.effects) {
      if (e.settings || e.authorization) session.dirty = true
      if (e.customs) session.settings.expect(e.customs)
      if (e.roles) this.#roles.forget()
      if (e.temp) this.#temps.add(session)
      if ((e.deallocateAll || e.discardAll) && session.names.size && !firstError(out)) {
        const names = [...session.names]
        session.names.clear()
        this.#backend.exec([...names.map(closeStatement), ...(unit.sync ? [sync] : [])])
      }
    }
  }

  /** Reads back the settings as the session has left them. */
  #snapshot(session) {
    session.dirty = false
    session.settings.update(this.#backend.run(session.settings.snapshot()))
    this.#inForce = '' // a RESET may have reset more than the settings of the session
  }

  #release() {
    this.#holder = null
    clearTimeout(this.#idleTimer)
    this.#idleTimer = null
  }

  #watchHolder() {
    if (this.#idleTimer) return
    const wait = Math.max(0, this.#heldSince + this.#idleLimit - Date.now())
    this.#idleTimer = setTimeout(() => {
      this.#idleTimer = null
      const holder = this.#holder
      if (!holder || !(this.#ready.size || this.#tasks.length)) return
      if (Date.now() - this.#heldSince < this.#idleLimit) return this.#watchHolder()
      holder.fatal('25P03', 'terminating connection due to idle-in-transaction timeout: other clients of the embedded database are waiting')
    }, wait)
    this.#idleTimer.unref()
  }

  #cleanUp(session) {
    this.#unnamedOwner = null
    if (session.names.size) this.#backend.exec([...[...session.names].map(closeStatement), sync])
    session.names.clear()
    const orphaned = this.#channels.unlisten('*', session)
    if (orphaned.length) this.#backend.run(orphaned.map(n => `unlisten ${quoteName(n)}`).join('; '))
    // Temporary tables belong to the backend: they are dropped when the last client that created any has disconnected.
    if (this.#temps.delete(session) && !this.#temps.size) this.#backend.run('discard temp')
  }
}

/** The state that the ReadyForQuery at the end of out reports, or null where there is none. */
function readyState(out) {
  const at = out.length - 6
  if (at < 0 || out[at] !== T.READY || out.readInt32BE(at + 1) !== 5) return null
  return String.fromCharCode(out[at + 5])
}

/** out without the answers up to CopyInResponse, which were sent to the client when its COPY began. */
function afterCopyIn(out) {
  const kept = []
  let begun = false
  for (const m of messages(out)) {
    begun ||= m[0] === T.ERROR
    if (begun || !BEFORE_COPY.includes(m[0])) kept.push(m)
    begun ||= m[0] === T.COPY_IN
  }
  return Buffer.concat(kept)
}
const BEFORE_COPY = [...'123nG'].map(c => c.charCodeAt(0)) // Parse, Bind, Close, Describe, COPY

function retag(out, tag) {
  return Buffer.concat([...messages(out)].map(m => (m[0] === T.COMMAND_COMPLETE ? commandComplete(tag) : m)))
}
