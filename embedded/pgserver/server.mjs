// The listening server: its clients, and what they need from the parts they share.
import net from 'node:net'
import {error} from './protocol.mjs'
import {Session} from './session.mjs'
import {Scheduler} from './scheduler.mjs'
import {Channels} from './notify.mjs'
import {Maintenance} from './maintenance.mjs'
import {Roles} from './roles.mjs'
import {REPORTED} from './settings.mjs'
import {quoteString} from './sql.mjs'

const MAX_CLIENTS = 200
const PARAMETER_SETS = 100

export class Server {
  password
  #roles
  #scheduler
  #sessions = new Map()   // by pid
  #parameters = new Map() // what is reported at the start, by settings key
  #nextPid = 1
  #listener
  #backend
  #maintenance

  /** onAbort is called with the error after the clients have been told that the backend is dead. */
  constructor(backend, {password = '', idleLimit, onAbort}) {
    this.#backend = backend
    this.password = password
    this.#roles = new Roles(backend)
    this.#scheduler = new Scheduler(backend, {
      channels: new Channels(), roles: this.#roles, idleLimit,
      onAbort: e => {
        this.#listener.close()
        this.#maintenance.stop()
        for (const s of [...this.#sessions.values()]) s.fatal('57P02', `the embedded database has crashed: ${e.message}`)
        onAbort(e)
      },
    })
    this.#maintenance = new Maintenance(backend, this.#scheduler)
    this.#listener = net.createServer(socket => this.#accept(socket))
  }

  /** Starts to listen and returns the address: {address, port}. */
  listen(host, port) {
    return new Promise((resolve, reject) => {
      this.#listener.once('error', reject)
      this.#listener.listen(port, host, () => resolve(this.#listener.address()))
    })
  }

  /** Takes no more work and tells the clients. */
  stop() {
    this.#listener.close()
    this.#maintenance.stop()
    this.#scheduler.stop()
    for (const s of [...this.#sessions.values()]) s.fatal('57P01', 'terminating connection due to administrator command')
  }

  // -- for sessions

  enqueue(session) {
    this.#scheduler.enqueue(session)
  }

  ended(session) {
    this.#sessions.delete(session.pid)
    this.#scheduler.ended(session)
  }

  cancel(pid, secret) {
    const session = this.#sessions.get(pid)
    if (session?.secret === secret) session.cancelQueued()
  }

  /** Calls then with the role of the session's user, or null. */
  login(session, then) {
    const role = this.#roles.known(session.user)
    if (role) return then(role)
    this.#scheduler.task(() => session.dead || then(this.#roles.lookup(session.user)))
  }

  /** Calls then with (error, null) where the session's settings are refused, else with (null, what to report at its start). */
  parameters(session, then) {
    const key = session.settings.key
    const known = this.#parameters.get(key)
    if (known) return then(null, {...known})
    this.#scheduler.task(() => {
      if (session.dead) return
      let rows
      try {
        this.#scheduler.assume(session)
        rows = this.#backend.run(`select name, setting from pg_catalog.pg_settings where name in (${REPORTED.map(quoteString)})
          union all select 'is_superuser', pg_catalog.current_setting('is_superuser')
          union all select 'session_authorization', session_user`)
      } catch (e) {
        if (!e.sql) throw e
        return then(e, null)
      }
      if (this.#parameters.size >= PARAMETER_SETS) this.#parameters.delete(this.#parameters.keys().next().value)
      this.#parameters.set(key, Object.fromEntries(rows))
      then(null, Object.fromEntries(rows))
    })
  }

  #accept(socket) {
    if (this.#sessions.size >= MAX_CLIENTS) return socket.end(error('FATAL', '53300', 'sorry, too many clients already'))
    const session = new Session(this, socket, this.#nextPid++)
    this.#sessions.set(session.pid, session)
  }
}
