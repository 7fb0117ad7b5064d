// The session state of one client on the shared backend: its user and its settings. The scheduler applies them when it turns to a client
// whose settings differ from those in force.
import {quoteName, quoteString} from './sql.mjs'

/** Reported to every client at its start. */
export const REPORTED = ['server_version', 'server_encoding', 'client_encoding', 'application_name', 'DateStyle', 'IntervalStyle', 'TimeZone',
  'integer_datetimes', 'standard_conforming_strings', 'is_superuser', 'session_authorization', 'in_hot_standby',
  'default_transaction_read_only', 'scram_iterations']

// application_name shows nowhere here and would only make clients differ.
const IGNORED = new Set(['application_name'])

const SNAPSHOT = `select name, setting from pg_catalog.pg_settings where source = 'session'
  union all select 'role', pg_catalog.current_setting('role') union all select 'session_authorization', session_user`

export class Settings {
  #role = 'none'
  #own = new Map()
  #customs = new Set() // settings with a dot in their name are not in pg_settings

  /** user is the session's user, defaults what its role and its startup packet set: [name, value]. */
  constructor(user, defaults = []) {
    this.user = user
    this.defaults = new Map(defaults.map(([name, value]) => [name.toLowerCase(), value]).filter(([name]) => !IGNORED.has(name)))
    this.#rekey()
  }

  /** The session has named these settings with a dot. */
  expect(names) {
    for (const name of names) this.#customs.add(name)
  }

  /** The SQL that reads the settings back. */
  snapshot() {
    if (!this.#customs.size) return SNAPSHOT
    return SNAPSHOT + ` union all select name, pg_catalog.current_setting(name, true)
      from pg_catalog.unnest(array[${[...this.#customs].map(quoteString)}]) c(name) where pg_catalog.current_setting(name, true) <> ''`
  }

  /** Takes over the rows of snapshot(). */
  update(rows) {
    this.#own = new Map()
    for (const [name, value] of rows) {
      const key = name.toLowerCase()
      if (key === 'role') this.#role = value
      else if (key === 'session_authorization') this.user = value
      else if (!IGNORED.has(key)) this.#own.set(key, value)
    }
    this.#rekey()
  }

  /** The SQL that puts these settings on, whatever was in force. The user comes last: before it the backend is the superuser. */
  sql() {
    const set = [...this.#values()].map(([name, value]) => `pg_catalog.set_config(${quoteString(name)}, ${quoteString(value)}, false)`)
    let sql = 'reset session authorization; reset all;'
    if (set.length) sql += ` select ${set.join(', ')};`
    if (this.user !== 'postgres') sql += ` set session authorization ${quoteName(this.user)};`
    if (this.#role !== 'none') sql += ` set role ${quoteName(this.#role)};`
    return sql
  }

  #values() {
    return new Map([...this.defaults, ...this.#own])
  }

  #rekey() {
    /** Equal for sessions that need no change between them. */
    this.key = JSON.stringify([this.user, this.#role, [...this.#values()].sort(([a], [b]) => (a < b ? -1 : 1))])
  }
}

/** The settings of a startup packet's parameters: [name, value]. */
export function startupSettings(params) {
  const settings = []
  for (const [name, value] of Object.entries(params)) {
    if (name === 'options') settings.push(...commandLine(value))
    else if (!['user', 'database', 'replication'].includes(name) && !name.startsWith('_pq_.')) settings.push([name, value])
  }
  return settings
}

/** -c name=value and --name=value of a libpq options string; a backslash protects a space. */
function commandLine(options) {
  const words = options.match(/(?:\\.|[^\s\\])+/gs)?.map(w => w.replace(/\\(.)/gs, '$1')) ?? []
  const settings = []
  for (let i = 0; i < words.length; i++) {
    let word = words[i]
    if (word === '-c') word = words[++i] ?? ''
    else if (word.startsWith('--') || word.startsWith('-c')) word = word.slice(2)
    else continue
    const eq = word.indexOf('=')
    if (eq > 0) settings.push([word.slice(0, eq).replaceAll('-', '_'), word.slice(eq + 1)])
  }
  return settings
}
