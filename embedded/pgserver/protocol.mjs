// Framing and messages of the PostgreSQL frontend/backend protocol, version 3.

/** Codes that stand where a startup packet carries its protocol version. */
export const SSL_REQUEST = 80877103
export const GSS_REQUEST = 80877104
export const CANCEL_REQUEST = 80877102
export const PROTOCOL_MAJOR = 3

/** The largest single message taken from a client. PostgreSQL's own limit is 1 GiB, more than this process should hold. */
export const MAX_MESSAGE = 256 * 1024 * 1024
/** PostgreSQL's MAX_STARTUP_PACKET_LENGTH. */
export const MAX_STARTUP = 10_000

/** Message types, by the byte that starts them. Where both sides use one letter the names are apart. */
export const T = {
  // from the client
  BIND: 0x42, CLOSE: 0x43, COPY_DATA: 0x64, COPY_DONE: 0x63, COPY_FAIL: 0x66, DESCRIBE: 0x44, EXECUTE: 0x45,
  FLUSH: 0x48, FUNCTION: 0x46, PARSE: 0x50, PASSWORD: 0x70, QUERY: 0x51, SYNC: 0x53, TERMINATE: 0x58,
  // from the server
  COMMAND_COMPLETE: 0x43, COPY_IN: 0x47, DATA_ROW: 0x44, ERROR: 0x45, NOTIFICATION: 0x41, PARAMETER_STATUS: 0x53, READY: 0x5a,
}

export class ProtocolError extends Error {}

/** A NUL-terminated string. */
export const cstr = s => Buffer.from(s + '\0')

/** One message: its type letter, its length and the parts of its body. */
export function message(type, ...parts) {
  const bufs = parts.map(p => (Buffer.isBuffer(p) ? p : Buffer.from(p)))
  const length = bufs.reduce((n, b) => n + b.length, 0)
  const out = Buffer.allocUnsafe(5 + length)
  out.write(type, 0, 'latin1')
  out.writeInt32BE(length + 4, 1)
  let at = 5
  for (const b of bufs) at += b.copy(out, at)
  return out
}

export const sync = message('S')
export const query = sql => message('Q', cstr(sql))
export const closeStatement = name => message('C', 'S', cstr(name))
export const copyFail = reason => message('f', cstr(reason))
export const readyForQuery = state => message('Z', state)
export const commandComplete = tag => message('C', cstr(tag))
export const parameterStatus = (name, value) => message('S', cstr(name), cstr(value))
export const authOk = message('R', [0, 0, 0, 0])
export const authCleartext = message('R', [0, 0, 0, 3])

export function backendKey(pid, secret) {
  const b = Buffer.alloc(8)
  b.writeInt32BE(pid, 0)
  b.writeInt32BE(secret, 4)
  return message('K', b)
}

export function error(severity, code, text) {
  return message('E', cstr('S' + severity), cstr('V' + severity), cstr('C' + code), cstr('M' + text), [0])
}

/** CopyInResponse without column formats: clients take the overall format. */
export const copyInResponse = binary => message('G', [binary ? 1 : 0, 0, 0])

/** The NUL-terminated string at offset o of b. */
export function stringAt(b, o) {
  const end = b.indexOf(0, o)
  if (end < 0) throw new ProtocolError('invalid string in message')
  return b.toString('utf8', o, end)
}

/** The offset after the NUL that ends the string at offset o of b. */
export function afterString(b, o) {
  const end = b.indexOf(0, o)
  if (end < 0) throw new ProtocolError('invalid string in message')
  return end + 1
}

/** The whole messages of b, in order. */
export function* messages(b) {
  for (let at = 0; at + 5 <= b.length;) {
    const end = at + 1 + b.readUInt32BE(at + 1)
    yield b.subarray(at, end)
    at = end
  }
}

/** The fields of an ErrorResponse, by their letter. */
export function errorFields(m) {
  const fields = {}
  for (let at = 5; m[at];) {
    const key = String.fromCharCode(m[at])
    fields[key] = stringAt(m, at + 1)
    at = afterString(m, at + 1)
  }
  return fields
}

/** The first error in the backend's output, or null. */
export function firstError(out) {
  for (const m of messages(out)) if (m[0] === T.ERROR) return errorFields(m)
  return null
}

/** The values of the first column of every row in the backend's output, and so on for the other columns: rows of strings or null. */
export function rows(out) {
  const all = []
  for (const m of messages(out)) {
    if (m[0] !== T.DATA_ROW) continue
    const row = []
    for (let i = 0, at = 7, n = m.readInt16BE(5); i < n; i++) {
      const length = m.readInt32BE(at)
      at += 4
      row.push(length < 0 ? null : m.toString('utf8', at, at + Math.max(length, 0)))
      if (length > 0) at += length
    }
    all.push(row)
  }
  return all
}

/** Cuts the bytes of one connection into whole messages. Bytes of a message that is still on its way are kept as they came, so a
 * message of many megabytes is joined once. */
export class Framer {
  #chunks = []
  #size = 0
  /** The first packet has no type byte. */
  startup = true

  push(chunk) {
    this.#chunks.push(chunk)
    this.#size += chunk.length
  }

  /** The next whole message, or null until more bytes are pushed. */
  next() {
    const head = this.startup ? 0 : 1
    if (this.#size < head + 4) return null
    if (this.#chunks[0].length < head + 4) this.#join(head + 4)
    const length = this.#chunks[0].readUInt32BE(head)
    if (length < (this.startup ? 8 : 4) || length > (this.startup ? MAX_STARTUP : MAX_MESSAGE)) {
      throw new ProtocolError(`invalid message length ${length}`)
    }
    const whole = head + length
    if (this.#size < whole) return null
    if (this.#chunks[0].length < whole) this.#join(whole)
    const first = this.#chunks[0]
    this.#size -= whole
    if (first.length === whole) this.#chunks.shift()
    else this.#chunks[0] = first.subarray(whole)
    return first.subarray(0, whole)
  }

  /** Makes the first chunk at least n bytes long. */
  #join(n) {
    let have = 0
    let count = 0
    while (have < n) have += this.#chunks[count++].length
    const joined = Buffer.concat(this.#chunks.slice(0, count), have)
    this.#chunks.splice(0, count, joined)
  }
}
