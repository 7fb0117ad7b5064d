import {test} from 'node:test'
import assert from 'node:assert/strict'
import {Settings, startupSettings} from '../settings.mjs'

test('a startup packet sets parameters', () => {
  assert.deepEqual(startupSettings({user: 'u', database: 'd', TimeZone: 'UTC', options: String.raw`-c work_mem=1MB --search-path=a\ b -cgeqo=off -x -c`, '_pq_.x': '1'}), [
    ['TimeZone', 'UTC'], ['work_mem', '1MB'], ['search_path', 'a b'], ['geqo', 'off'],
  ])
})

test('equal settings need no change, whatever their order and application', () => {
  const a = new Settings('u', [['TimeZone', 'UTC'], ['work_mem', '1MB'], ['application_name', 'a']])
  const b = new Settings('u', [['work_mem', '1MB'], ['timezone', 'UTC'], ['application_name', 'b']])
  assert.equal(a.key, b.key)
  assert.notEqual(a.key, new Settings('v', [['work_mem', '1MB'], ['timezone', 'UTC']]).key)
  assert.notEqual(a.key, new Settings('u').key)
})

test('what a client has set replaces its defaults until it resets it', () => {
  const s = new Settings('u', [['timezone', 'UTC']])
  const before = s.key
  s.update([['TimeZone', 'Europe/Rome'], ['role', 'none'], ['session_authorization', 'u']])
  assert.match(s.sql(), /set_config\('timezone', 'Europe\/Rome', false\)/)
  s.update([['role', 'none'], ['session_authorization', 'u']])
  assert.equal(s.key, before)
  assert.match(s.sql(), /set_config\('timezone', 'UTC', false\)/)
})

test('the user and the role come after the settings', () => {
  const s = new Settings('a"b', [['x.y', `it's`]])
  s.update([['x.y', `it's`], ['role', 'r'], ['session_authorization', 'a"b']])
  assert.equal(s.sql(), `reset session authorization; reset all; select pg_catalog.set_config('x.y', 'it''s', false); set session authorization "a""b"; set role "r";`)
  assert.equal(new Settings('postgres').sql(), 'reset session authorization; reset all;')
})
