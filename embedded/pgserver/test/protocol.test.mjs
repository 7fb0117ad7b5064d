import {test} from 'node:test'
import assert from 'node:assert/strict'
import {
  Framer, ProtocolError, MAX_MESSAGE, T, cstr, message, query, error, errorFields, firstError, rows, messages, copyFail, readyForQuery, stringAt, afterString,
} from '../protocol.mjs'

function startup(params) {
  const body = Buffer.concat([...Object.entries(params).flat().map(cstr), Buffer.from([0])])
  const head = Buffer.alloc(8)
  head.writeInt32BE(body.length + 8, 0)
  head.writeInt32BE(3 << 16, 4)
  return Buffer.concat([head, body])
}

test('a framer gives the same messages however the bytes are cut', () => {
  const sent = [query('select 1'), message('S'), copyFail('x'.repeat(9000)), query('y'.repeat(8187)), message('d', Buffer.alloc(100_000, 7)), message('S')]
  const bytes = Buffer.concat([startup({user: 'postgres'}), ...sent])
  for (const size of [1, 2, 3, 5, 7, 64, 8192, 65536, bytes.length]) {
    const framer = new Framer()
    const got = []
    for (let at = 0; at < bytes.length; at += size) {
      framer.push(bytes.subarray(at, at + size))
      for (let m; (m = framer.next());) {
        got.push(m)
        framer.startup = false
      }
    }
    assert.equal(got.length, sent.length + 1, `cut to ${size}`)
    assert.deepEqual(got[0], startup({user: 'postgres'}))
    sent.forEach((m, i) => assert.ok(m.equals(got[i + 1]), `cut to ${size}, message ${i}`))
  }
})

test('a framer refuses lengths that no message has', () => {
  for (const [length, isStartup] of [[3, false], [0, false], [MAX_MESSAGE + 1, false], [0xffffffff, false], [7, true], [10_001, true]]) {
    const framer = new Framer()
    framer.startup = isStartup
    const b = Buffer.alloc(9)
    b.writeUInt32BE(length, isStartup ? 0 : 1)
    framer.push(b)
    assert.throws(() => framer.next(), ProtocolError, `length ${length}`)
  }
})

test('a framer joins a message that came in many chunks once', {timeout: 60_000}, () => {
  const framer = new Framer()
  framer.startup = false
  const m = message('d', Buffer.alloc(20_000_000, 1))
  for (let at = 0; at < m.length; at += 1000) {
    framer.push(m.subarray(at, at + 1000))
    if (at + 1000 < m.length) assert.equal(framer.next(), null)
  }
  assert.ok(framer.next().equals(m)) // joining at each chunk would copy 200 GB
})

test('strings that do not end are an error', () => {
  assert.throws(() => stringAt(Buffer.from('abc'), 0), ProtocolError)
  assert.throws(() => afterString(Buffer.from('abc'), 1), ProtocolError)
  assert.equal(stringAt(Buffer.from('ab\0c\0'), 3), 'c')
})

test('messages carry their length', () => {
  const m = message('Q', 'é', Buffer.from([0]))
  assert.deepEqual([...m], [0x51, 0, 0, 0, 7, 0xc3, 0xa9, 0])
  assert.deepEqual([...message('S')], [0x53, 0, 0, 0, 4])
})

test('errors are read back', () => {
  const e = errorFields(error('ERROR', '57014', 'canceling'))
  assert.deepEqual(e, {S: 'ERROR', V: 'ERROR', C: '57014', M: 'canceling'})
  assert.equal(firstError(Buffer.concat([message('C', cstr('SELECT 1')), readyForQuery('I')])), null)
  assert.equal(firstError(Buffer.concat([message('1'), error('ERROR', '42601', 'syntax'), readyForQuery('I')])).C, '42601')
})

test('rows are read back, nulls and empty strings apart', () => {
  const column = s => {
    const head = Buffer.alloc(4)
    head.writeInt32BE(s === null ? -1 : Buffer.byteLength(s))
    return s === null ? head : Buffer.concat([head, Buffer.from(s)])
  }
  const row = values => message('D', [0, values.length], ...values.map(column))
  const want = [['a', null, ''], ['é', 'b', 'c']]
  assert.deepEqual(rows(Buffer.concat([...want.map(row), readyForQuery('I')])), want)
})

test('messages() cuts a buffer', () => {
  const all = [query('a'), message('S'), readyForQuery('T')]
  assert.deepEqual([...messages(Buffer.concat(all))].map(m => m[0]), [T.QUERY, 0x53, T.READY])
})
