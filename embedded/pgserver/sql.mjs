// What the server must know about a statement before it runs: the few commands whose effect reaches beyond the client that sent them,
// because all clients share one backend. Everything else passes unseen.

const SKIP = String.raw`(?:\s|--[^\n]*(?:\n|$)|/\*[\s\S]*?\*/)*` // white space and comments: sqlc puts one before every query
const NAME = String.raw`(?:"(?:[^"]|"")+"|[a-z_\u0080-\uffff][\w$\u0080-\uffff]*)`

const COPY_IN = new RegExp(String.raw`^${SKIP}copy\s+(?:binary\s+)?(?:"(?:[^"]|"")*"|[^\s("])+\s*(?:\([^)]*\)\s*)?from\s+stdin\b`, 'i')
const BINARY = /\bbinary\b/i
const LISTEN = new RegExp(String.raw`(?:^|;)${SKIP}(listen|unlisten)\s+(${NAME}|\*)`, 'gi')
const SETTING = new RegExp(String.raw`(?:^|;)${SKIP}(?:set(?!\s+(?:local|constraints|transaction)\b)|reset|discard)\b|\bset_config\s*\(`, 'i')
const AUTHORIZATION = new RegExp(String.raw`(?:^|;)${SKIP}(?:set|reset)\s+(?:(?:session|local)\s+)?session\s+authorization\b`, 'i')
const PREPARED = new RegExp(String.raw`^(${SKIP})(prepare|execute|deallocate(?:\s+prepare)?)\s+(${NAME})`, 'i')
const DISCARD_ALL = new RegExp(String.raw`^${SKIP}discard\s+all${SKIP};?${SKIP}$`, 'i')
const TEMP = /\b(?:create\s+(?:local\s+|global\s+)?|into\s+)temp(?:orary)?\b/i
const ROLE = /\b(?:create|alter|drop)\s+(?:role|user|group|database)\b/i
const ANY = /copy|listen|set|discard|prepare|execute|deallocate|temp|role|user|group|database/i
const LIMIT = 64 * 1024

const NOTHING = Object.freeze({})

/** The name as PostgreSQL stores it. */
export const foldName = name => (name[0] === '"' ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase())

export const quoteName = name => '"' + name.replaceAll('"', '""') + '"'

/** A string literal that means the same whatever standard_conforming_strings says. */
export function quoteString(s) {
  const quoted = "'" + s.replaceAll("'", "''") + "'"
  return s.includes('\\') ? 'E' + quoted.replaceAll('\\', '\\\\') : quoted
}

/** The effects of sql that matter to other clients, as an object with only the keys that apply:
 *  copyIn, binary: it is a COPY FROM STDIN, and in which format
 *  listens:        [{listen: bool, channel}], channel '*' for all
 *  settings:       it may change settings of the session
 *  authorization:  it changes the session's user
 *  prepared:       {verb, name}: PREPARE, EXECUTE or DEALLOCATE of a statement name of SQL
 *  deallocateAll, discardAll, temp, roles */
export function effects(sql) {
  if (sql.length > LIMIT) sql = sql.slice(0, LIMIT)
  if (!ANY.test(sql)) return NOTHING
  const e = {}
  if (COPY_IN.test(sql)) {
    e.copyIn = true
    e.binary = BINARY.test(sql)
    return e
  }
  for (const [, verb, channel] of sql.matchAll(LISTEN)) {
    (e.listens ??= []).push({listen: verb.length === 6, channel: channel === '*' ? channel : foldName(channel)})
  }
  if (SETTING.test(sql)) e.settings = true
  if (AUTHORIZATION.test(sql)) e.authorization = true
  if (TEMP.test(sql)) e.temp = true
  if (ROLE.test(sql)) e.roles = true
  if (DISCARD_ALL.test(sql)) e.discardAll = true
  const prepared = PREPARED.exec(sql)
  if (prepared) {
    const verb = prepared[2].slice(0, 7).toLowerCase()
    if (verb === 'dealloc' && prepared[3].toLowerCase() === 'all') e.deallocateAll = true
    else if (!(verb === 'prepare' && prepared[3].toLowerCase() === 'transaction')) e.prepared = {verb, name: foldName(prepared[3])}
  }
  return e
}

/** sql with the name of its PREPARE, EXECUTE or DEALLOCATE replaced. */
export function renamePrepared(sql, name) {
  return sql.replace(PREPARED, (_, skip, verb) => `${skip}${verb} ${quoteName(name)}`)
}
