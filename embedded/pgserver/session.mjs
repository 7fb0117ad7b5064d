// One client: its connection, its startup, and its messages cut into units of work for the scheduler.
import {randomInt, timingSafeEqual, createHash} from 'node:crypto'
import {
  T, Framer, ProtocolError, SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST, PROTOCOL_MAJOR,
  cstr, message, query, error, readyForQuery, parameterStatus, backendKey, authOk, authCleartext, copyInResponse, copyFail,
  stringAt, afterString,
} from './protocol.mjs'
import {effects, renamePrepared} from './sql.mjs'
import {Settings, startupSettings} from './settings.mjs'

/** COPY data is held until it is complete: the backend cannot wait for more of it. */
export const MAX_COPY = 256 * 1024 * 1024
/** Reading from a client stops while it has this much work waiting, or this much output that it does not take. */
const HIGH_WATER = 32 * 1024 * 1024

const NO_OP = `do 'begin end'` // stands in for a command that the server carries out itself

/** What the scheduler runs in one go: the messages up to a Sync, a Flush or the end of a simple query. */
class Unit {
  bufs = []
  bytes = 0
  sync = false          // ends with ReadyForQuery
  copy = false          // its COPY's answer up to CopyInResponse has been sent
  usesUnnamed = false   // needs the client's unnamed statement as an earlier unit left it
  setsUnnamed = false
  tag = null            // the command tag to report in place of the backend's
  effects = []

  add(buf) {
    this.bufs.push(buf)
    this.bytes += buf.length
  }
}

export class Session {
  state = 'I'           // the transaction state as last reported
  dead = false
  queue = []            // units waiting
  names = new Set()     // prepared statements in the backend, under their own names there
  unnamed = null        // the Parse message of the unnamed statement
  settings = null
  superuser = false
  temp = false          // may have made temporary tables
  user = ''

  #server
  #socket
  #framer = new Framer()
  #phase = 'startup'    // then password, login, ready
  #params = {}
  #unit = new Unit()
  #waiting = 0          // bytes of units waiting
  #statements = new Map() // effects of prepared statements that have any, by the client's name for them
  #portals = new Map()
  #copying = null       // the bytes of COPY data so far, as {bytes}

  constructor(server, socket, id) {
    this.#server = server
    this.#socket = socket
    this.pid = id
    this.secret = randomInt(-(2 ** 31), 2 ** 31 - 1)
    socket.setNoDelay(true)
    socket.on('data', chunk => this.#receive(chunk))
    socket.on('error', () => {}) // 'close' follows
    socket.on('end', () => this.close())
    socket.on('close', () => this.close())
    socket.on('drain', () => this.#throttle())
  }

  write(buf) {
    if (this.dead || !buf.length) return
    this.#socket.write(buf)
    this.#throttle()
  }

  /** Sends a last error and ends the connection. */
  fatal(code, text) {
    if (!this.dead) this.#socket.end(error('FATAL', code, text))
    this.close()
  }

  /** Ends the session; what it had in the backend is cleaned up. */
  close() {
    if (this.dead) return
    this.dead = true
    this.queue = []
    this.#unit = new Unit()
    this.#socket.end()
    this.#socket.destroySoon()
    this.#server.ended(this)
  }

  /** The scheduler has run a unit. */
  done(unit) {
    this.#waiting -= unit.bytes
    this.#throttle()
  }

  /** Drops the units that have not begun and answers for them. */
  cancelQueued() {
    const units = this.queue
    if (!units.length || !units.every(u => u.sync)) return
    this.queue = []
    for (const unit of units) {
      this.write(Buffer.concat([error('ERROR', '57014', 'canceling statement due to user request'), readyForQuery(this.state)]))
      this.done(unit)
    }
  }

  #throttle() {
    const full = this.#waiting > HIGH_WATER || this.#socket.writableLength > HIGH_WATER
    if (full !== this.#socket.isPaused()) full ? this.#socket.pause() : this.#socket.resume()
  }

  #receive(chunk) {
    this.#framer.push(chunk)
    try {
      for (let m; !this.dead && (m = this.#framer.next());) {
        if (this.#phase === 'startup') this.#startup(m)
        else if (this.#phase === 'password') this.#password(m)
        else this.#message(m[0], m)
      }
    } catch (e) {
      if (e instanceof ProtocolError || e instanceof RangeError) this.fatal('08P01', e.message)
      else throw e
    }
  }

  // -- startup

  #startup(m) {
    const version = m.readInt32BE(4)
    if (version === SSL_REQUEST || version === GSS_REQUEST) return this.write(Buffer.from('N'))
    if (version === CANCEL_REQUEST) {
      if (m.length >= 16) this.#server.cancel(m.readInt32BE(8), m.readInt32BE(12))
      return this.close()
    }
    if (version >> 16 !== PROTOCOL_MAJOR) return this.fatal('0A000', `unsupported frontend protocol ${version >> 16}.${version & 0xffff}`)
    for (let at = 8; at < m.length && m[at];) {
      const name = stringAt(m, at)
      at = afterString(m, at)
      this.#params[name] = stringAt(m, at)
      at = afterString(m, at)
    }
    const unknown = Object.keys(this.#params).filter(name => name.startsWith('_pq_.'))
    if (version & 0xffff || unknown.length) {
      const head = Buffer.alloc(8)
      head.writeInt32BE(unknown.length, 4)
      this.write(message('v', head, ...unknown.map(cstr)))
    }
    this.#framer.startup = false
    this.user = this.#params.user
    if (!this.user) return this.fatal('28000', 'no PostgreSQL user name specified in startup packet')
    if ('replication' in this.#params) return this.fatal('0A000', 'replication is not supported by the embedded database')
    if (this.#server.password) {
      this.#phase = 'password'
      return this.write(authCleartext)
    }
    this.#login()
  }

  #password(m) {
    const digest = s => createHash('sha256').update(s).digest()
    if (m[0] !== T.PASSWORD || !timingSafeEqual(digest(stringAt(m, 5)), digest(this.#server.password))) {
      return this.fatal('28P01', `password authentication failed for user "${this.user}"`)
    }
    this.#login()
  }

  #login() {
    this.#phase = 'login'
    const database = this.#params.database || this.user
    if (database !== 'postgres') return this.fatal('3D000', `database "${database}" does not exist (the embedded server has one: postgres)`)
    this.#server.login(this, role => {
      if (!role) return this.fatal('28000', `role "${this.user}" does not exist`)
      if (!role.login) return this.fatal('28000', `role "${this.user}" is not permitted to log in`)
      this.superuser = role.superuser
      this.settings = new Settings(this.user, [...role.settings, ...startupSettings(this.#params)])
      this.#server.parameters(this, (failed, parameters) => {
        if (failed) return this.fatal(failed.code, failed.message)
        this.#phase = 'ready'
        parameters.application_name = this.#params.application_name ?? ''
        this.write(Buffer.concat([
          authOk, ...Object.entries(parameters).map(([name, value]) => parameterStatus(name, value)),
          backendKey(this.pid, this.secret), readyForQuery('I'),
        ]))
      })
    })
  }

  // -- messages

  /** The name of a prepared statement in the backend, where all clients' names meet. */
  #backendName(name) {
    return `c${this.pid}.${name}`
  }

  #submit(sync) {
    const unit = this.#unit
    unit.sync = sync
    this.#unit = new Unit()
    this.#waiting += unit.bytes
    this.queue.push(unit)
    this.#server.enqueue(this)
    this.#throttle()
  }

  #message(type, m) {
    if (this.#copying) return this.#copyMessage(type, m)
    const unit = this.#unit
    switch (type) {
      case T.QUERY:
        return this.#query(m)
      case T.PARSE:
        return this.#parse(m)
      case T.BIND: {
        const at = afterString(m, 5)
        const name = stringAt(m, at)
        this.#apply(this.#statements.get(name), stringAt(m, 5))
        if (name) return unit.add(message('B', m.subarray(5, at), cstr(this.#backendName(name)), m.subarray(afterString(m, at))))
        unit.usesUnnamed ||= !unit.setsUnnamed
        return unit.add(m)
      }
      case T.DESCRIBE:
      case T.CLOSE: {
        const name = stringAt(m, 6)
        if (m[5] !== 0x53) return unit.add(m) // a portal
        if (!name) {
          unit.usesUnnamed ||= !unit.setsUnnamed
          return unit.add(m)
        }
        if (type === T.CLOSE) {
          this.names.delete(this.#backendName(name))
          this.#statements.delete(name)
        }
        return unit.add(message(String.fromCharCode(type), 'S', cstr(this.#backendName(name))))
      }
      case T.EXECUTE: {
        unit.add(m)
        if (this.#portals.get(stringAt(m, 5))?.copyIn) this.#startCopy(this.#portals.get(stringAt(m, 5)).binary)
        return
      }
      case T.FLUSH:
        unit.add(m)
        return this.#submit(false)
      case T.SYNC:
        unit.add(m)
        this.#portals.clear()
        return this.#submit(true)
      case T.TERMINATE:
        return this.close()
      case T.COPY_DATA:
      case T.COPY_DONE:
      case T.COPY_FAIL:
        return // of a COPY that has failed: ignored, as PostgreSQL does
      case T.FUNCTION:
        return this.fatal('0A000', 'function calls by the fast path are not supported by the embedded database')
      default:
        throw new ProtocolError(`invalid frontend message type ${type}`)
    }
  }

  #query(m) {
    const sql = stringAt(m, 5)
    const e = effects(sql)
    const unit = this.#unit
    unit.setsUnnamed = true // a simple query ends the unnamed statement
    this.unnamed = null
    const refusal = this.#refuse(e)
    if (refusal) return this.#refused(refusal)
    unit.add(this.#substitute(e, sql, text => query(text)) ?? m)
    this.#apply(e, null)
    if (e.copyIn) return this.#startCopy(e.binary)
    this.#submit(true)
  }

  #parse(m) {
    const at = afterString(m, 5)
    const name = stringAt(m, 5)
    const sql = stringAt(m, at)
    const e = effects(sql)
    const types = m.subarray(afterString(m, at))
    const backendName = name && this.#backendName(name)
    const refusal = this.#refuse(e)
    const text = refusal ? `do ${refusal.sql}` : null
    const changed = text ? message('P', cstr(backendName), cstr(text), types)
      : this.#substitute(e, sql, t => message('P', cstr(backendName), cstr(t), types))
    const out = changed ?? (name ? message('P', cstr(backendName), m.subarray(at)) : m)
    if (name) this.names.add(backendName)
    else {
      this.unnamed = Buffer.from(out) // a copy: m may be a slice of a larger read
      this.#unit.setsUnnamed = true
    }
    if (Object.keys(e).length) this.#statements.set(name, e)
    else this.#statements.delete(name)
    this.#unit.add(out)
  }

  /** The message in place of the client's where a command would reach other clients' statements; null where it can go as it is. */
  #substitute(e, sql, build) {
    if (e.deallocateAll) return build(NO_OP)
    if (e.discardAll) return build('reset all')
    if (e.prepared) return build(renamePrepared(sql, e.prepared, this.#backendName(e.prepared.name)))
    return null
  }

  /** Marks the unit with what the statement about to run in it does. */
  #apply(e, portal) {
    if (portal !== null) {
      if (e) this.#portals.set(portal, e)
      else this.#portals.delete(portal)
    }
    if (!e) return
    const unit = this.#unit
    if (e.prepared) {
      const name = this.#backendName(e.prepared.name)
      if (e.prepared.verb === 'prepare') this.names.add(name)
      else if (e.prepared.verb === 'deallocate') this.names.delete(name)
    }
    if (e.temp) this.temp = true
    if (e.deallocateAll) unit.tag = 'DEALLOCATE ALL'
    if (e.discardAll) unit.tag = 'DISCARD ALL'
    unit.effects.push(e)
  }

  #refuse(e) {
    if (!e.authorization || this.superuser) return null
    return {sql: `'begin raise insufficient_privilege using message = ''permission denied to set session authorization''; end'`}
  }

  #refused({sql}) {
    this.#unit.add(query(`do ${sql}`))
    this.#submit(true)
  }

  // -- COPY FROM STDIN

  /** The client waits for CopyInResponse before it sends, the backend wants the data with the command: the server answers itself. */
  #startCopy(binary) {
    const unit = this.#unit
    unit.copy = true
    this.#copying = {bytes: 0}
    const answers = unit.bufs.map(b => ({[T.PARSE]: '1', [T.BIND]: '2', [T.CLOSE]: '3', [T.DESCRIBE]: 'n'})[b[0]]).filter(Boolean)
    this.write(Buffer.concat([...answers.map(a => message(a)), copyInResponse(binary)]))
  }

  #copyMessage(type, m) {
    const unit = this.#unit
    const simple = unit.bufs[0][0] === T.QUERY
    switch (type) {
      case T.COPY_DATA:
        this.#copying.bytes += m.length
        if (this.#copying.bytes <= MAX_COPY) return unit.add(m)
        unit.bufs = unit.bufs.filter(b => b[0] !== T.COPY_DATA)
        unit.bytes = 0
        unit.add(copyFail(`the embedded database takes at most ${MAX_COPY >> 20} MiB in one COPY`))
        break
      case T.COPY_DONE:
      case T.COPY_FAIL:
        unit.add(m)
        break
      case T.FLUSH:
      case T.SYNC:
        return // ignored during COPY
      case T.TERMINATE:
        return this.close()
      default:
        unit.add(copyFail(`unexpected message type ${type} during COPY from stdin`))
    }
    this.#copying = null
    if (simple) this.#submit(true)
  }
}
