import {test} from 'node:test'
import assert from 'node:assert/strict'
import {effects, renamePrepared, foldName, quoteString} from '../sql.mjs'

const cases = [
  ['select 1', {}],
  ['update ingest_offsets set next_offset = 1', {}],
  ['-- name: Move :exec\nupdate a set b = c', {}],
  ['begin; set local timezone = 1; commit', {}],
  ['set transaction isolation level serializable', {}],
  ['set search_path = a', {settings: true}],
  ['  /* x */ SET SESSION timezone TO UTC', {settings: true}],
  ['-- name: X :exec\nset a."B" = 1', {settings: true, customs: ['a.B']}],
  ['set session a.b to 1', {settings: true, customs: ['a.b']}],
  [`select set_config('a.B', $1, false), set_config($2, $3, true)`, {settings: true, customs: ['a.b']}],
  ['begin; set timezone = 1; commit', {settings: true}],
  ['reset all', {settings: true}],
  [`select set_config('a', 'b', false)`, {settings: true}],
  ['select offset_config from reset_table', {}],
  ['copy t from stdin', {copyIn: true, binary: false}],
  ['copy "a b"."c" ("x", "y") from stdin binary', {copyIn: true, binary: true}],
  ['copy public.t (a, b) from stdin with (format binary)', {copyIn: true, binary: true}],
  ['-- c\n COPY t FROM STDIN', {copyIn: true, binary: false}],
  ['copy t to stdout', {}],
  [`copy (select 'x from stdin') to stdout`, {}],
  [`copy t from '/file'`, {}],
  ['listen a', {listens: [{listen: true, channel: 'a'}]}],
  ['LISTEN Alerts', {listens: [{listen: true, channel: 'alerts'}]}],
  ['listen "Alerts ""x"""', {listens: [{listen: true, channel: 'Alerts "x"'}]}],
  ['listen a; unlisten b; unlisten *', {listens: [{listen: true, channel: 'a'}, {listen: false, channel: 'b'}, {listen: false, channel: '*'}]}],
  [`select 'listen a'`, {}],
  [`select '; listen a'`, {}],
  [`select E'\\'; listen a'`, {}],
  ['select $x$ ; set a = 1 $x$, $$; listen a$$', {}],
  ['select $1; /* /* */ listen b; */ listen a', {listens: [{listen: true, channel: 'a'}]}],
  ['select 1; copy t from stdin', {}],
  ['deallocate all', {deallocateAll: true}],
  ['deallocate prepare ALL', {deallocateAll: true}],
  ['discard all;', {discardAll: true, settings: true}],
  ['discard plans', {settings: true}],
  ['prepare q as select 1', {prepared: {verb: 'prepare', name: 'q', from: 8, to: 9}}],
  ['execute "Q"(1)', {prepared: {verb: 'execute', name: 'Q', from: 8, to: 11}}],
  ['deallocate q', {prepared: {verb: 'deallocate', name: 'q', from: 11, to: 12}}],
  [`prepare transaction 'x'`, {}],
  ['create temp table t (a int)', {temp: true}],
  ['select 1 into temporary t', {temp: true}],
  ['create role r login', {roles: true}],
  [`do $$ begin create role r; end $$`, {roles: true}],
  ['alter user r set work_mem = 1', {roles: true}],
  [`set session authorization 'x'`, {settings: true, authorization: true}],
  ['reset session authorization', {settings: true, authorization: true}],
  ['set local session authorization x', {authorization: true}],
]

for (const [sql, want] of cases) {
  test(`effects of ${sql}`, () => assert.deepEqual({...effects(sql)}, want))
}

test('the name of an SQL statement is replaced', () => {
  const rename = (sql, name) => renamePrepared(sql, effects(sql).prepared, name)
  assert.equal(rename('-- x\nprepare q(int) as select $1', 'c1.q'), '-- x\nprepare "c1.q"(int) as select $1')
  assert.equal(rename('execute "Q" (1)', 'c1.Q'), 'execute "c1.Q" (1)')
  assert.equal(rename('deallocate /* q */ prepare q', 'c1.q'), 'deallocate /* q */ prepare "c1.q"')
})

test('names fold as PostgreSQL folds them', () => {
  assert.equal(foldName('AbC'), 'abc')
  assert.equal(foldName('"A""b"'), 'A"b')
})

test('strings are quoted', () => {
  assert.equal(quoteString(`a'b`), `'a''b'`)
  assert.equal(quoteString(`a\\'b`), `E'a\\\\''b'`)
})

test('hostile statements take little time', {timeout: 60_000}, () => {
  for (const part of ['(\'set x; listen y\', "copy" /* */ -- \n),', '/*', '/**/', ';--', ';-- \n', '$$', '$a$', '"', "'", "e'", 'set ', 'create temp', '\\']) {
    effects('set ' + part.repeat(400_000 / part.length))
    effects(part.repeat(400_000 / part.length) + ' set')
  }
})
