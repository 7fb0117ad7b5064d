// What the server must know about a statement before it runs: the few commands whose effect reaches beyond the client that sent them,
// because all clients share one backend. Everything else passes unseen.

/** Beyond this a statement is not looked at: what matters here is short. */
const LIMIT = 64 * 1024
const ANY = /copy|listen|set|discard|prepare|execute|deallocate|temp|role|user|group|database/i
const TEMP = /\b(?:create\s+(?:local\s+|global\s+)?|into\s+)temp(?:orary)?\b/i
const ROLE = /\b(?:create|alter|drop)\s+(?:role|user|group|database)\b/i // also inside a DO block
const SET_CONFIG = /\bset_config\s*\(\s*(?:'([\w.]*)')?/gi

const NOTHING = Object.freeze({})

/** The name as PostgreSQL stores it. */
export const foldName = name => (name[0] === '"' ? name.slice(1, -1).replaceAll('""', '"') : name.toLowerCase())

export const quoteName = name => '"' + name.replaceAll('"', '""') + '"'

/** A string literal that means the same whatever standard_conforming_strings says. */
export function quoteString(s) {
  const quoted = "'" + s.replaceAll("'", "''") + "'"
  return s.includes('\\') ? 'E' + quoted.replaceAll('\\', '\\\\') : quoted
}

// One token: white space, a comment's start, a string's start, a quoted name, a word, or any other character.
const TOKEN = /\s+|--|\/\*|[eE]'|'|\$(?:[a-z_\u0080-\uffff][\w\u0080-\uffff]*)?\$|"(?:[^"]|"")*"|[\w\u0080-\uffff][\w$\u0080-\uffff]*|[^]/iy

/** The statements of sql, each as its tokens: [{text, word, at}], word in lower case for keywords and null for the rest. Comments and
 * white space are left out, a string is one token. */
function statements(sql) {
  const all = []
  let tokens = []
  for (let at = 0; at < sql.length;) {
    TOKEN.lastIndex = at
    const text = TOKEN.exec(sql)[0]
    const start = at
    at += text.length
    const c = text[0]
    if (text === '--') at = endOf(sql, '\n', at)
    else if (text === '/*') at = afterComment(sql, at)
    else if (c === ';') {
      if (tokens.length) all.push(tokens)
      tokens = []
    } else if (text.trim()) {
      if (text === "'") at = afterString(sql, at, false)
      else if (text === "e'" || text === "E'") at = afterString(sql, at, true)
      else if (c === '$' && text.length > 1) at = endOf(sql, text, at)
      tokens.push({text: at > start + text.length ? "'" : text, word: /^\w/.test(text) && at === start + text.length ? text.toLowerCase() : null, at: start})
    }
  }
  if (tokens.length) all.push(tokens)
  return all
}

function endOf(sql, what, from) {
  const at = sql.indexOf(what, from)
  return at < 0 ? sql.length : at + what.length
}

/** Comments nest. */
function afterComment(sql, at) {
  for (let depth = 1; depth; ) {
    const close = sql.indexOf('*/', at)
    if (close < 0) return sql.length
    const open = sql.indexOf('/*', at)
    if (open >= 0 && open < close) {
      depth++
      at = open + 2
    } else {
      depth--
      at = close + 2
    }
  }
  return at
}

function afterString(sql, at, escapes) {
  for (; at < sql.length; at++) {
    if (escapes && sql[at] === '\\') at++
    else if (sql[at] === "'") {
      if (sql[at + 1] !== "'") return at + 1
      at++
    }
  }
  return sql.length
}

const isName = token => token !== undefined && (token.word !== null || token.text[0] === '"')

/** The effects of sql that matter to other clients, as an object with only the keys that apply:
 *  copyIn, binary: it is a COPY FROM STDIN, and in which format
 *  listens:        [{listen: bool, channel}], channel '*' for all
 *  settings:       it may change settings of the session
 *  customs:        names of settings with a dot among them
 *  authorization:  it changes the session's user
 *  prepared:       {verb, name, from, to}: PREPARE, EXECUTE or DEALLOCATE of a statement name of SQL, and where in sql it stands
 *  deallocateAll, discardAll, temp, roles */
export function effects(sql) {
  if (sql.length > LIMIT) sql = sql.slice(0, LIMIT)
  if (!ANY.test(sql)) return NOTHING
  const e = {}
  const all = statements(sql)
  for (const tokens of all) statementEffects(tokens, all.length === 1, e)
  if (e.copyIn) return e
  for (const [, name] of sql.matchAll(SET_CONFIG)) {
    e.settings = true
    if (name?.includes('.')) (e.customs ??= []).push(name.toLowerCase())
  }
  if (TEMP.test(sql)) e.temp = true
  if (ROLE.test(sql)) e.roles = true
  return e
}

function statementEffects(tokens, alone, e) {
  const [first, second, third] = tokens.map(t => t.word)
  switch (first) {
    case 'copy':
      if (alone && isCopyIn(tokens)) {
        e.copyIn = true
        e.binary = tokens.some(t => t.word === 'binary')
      }
      break
    case 'listen':
    case 'unlisten':
      if (isName(tokens[1])) (e.listens ??= []).push({listen: first === 'listen', channel: foldName(tokens[1].text)})
      else if (tokens[1]?.text === '*') (e.listens ??= []).push({listen: false, channel: '*'})
      break
    case 'set':
    case 'reset':
      if (second !== 'local' && second !== 'constraints' && second !== 'transaction') e.settings = true
      if (e.settings) setCustom(second === 'session' ? tokens.slice(2) : tokens.slice(1), e)
      if (second === 'session' && third === 'authorization' || third === 'session') e.authorization = true
      break
    case 'discard':
      e.settings = true
      if (second === 'all' && alone) e.discardAll = true
      break
    case 'prepare':
    case 'execute':
    case 'deallocate': {
      const name = tokens[first === 'deallocate' && second === 'prepare' ? 2 : 1]
      if (!alone || !isName(name)) break
      if (first === 'deallocate' && name.word === 'all') e.deallocateAll = true
      else if (!(first === 'prepare' && name.word === 'transaction')) {
        e.prepared = {verb: first, name: foldName(name.text), from: name.at, to: name.at + name.text.length}
      }
    }
  }
}

/** SET name . name */
function setCustom([first, dot, second], e) {
  if (dot?.text === '.' && isName(first) && isName(second)) (e.customs ??= []).push(`${foldName(first.text)}.${foldName(second.text)}`)
}

/** COPY [BINARY] name [. name] [(columns)] FROM STDIN */
function isCopyIn(tokens) {
  let i = tokens[1]?.word === 'binary' && isName(tokens[2]) ? 2 : 1
  if (!isName(tokens[i++])) return false
  while (tokens[i]?.text === '.') i += 2
  if (tokens[i]?.text === '(') {
    while (i < tokens.length && tokens[i].text !== ')') i++
    i++
  }
  return tokens[i]?.word === 'from' && tokens[i + 1]?.word === 'stdin'
}

/** sql with the name of its PREPARE, EXECUTE or DEALLOCATE replaced. */
export function renamePrepared(sql, {from, to}, name) {
  return sql.slice(0, from) + quoteName(name) + sql.slice(to)
}
