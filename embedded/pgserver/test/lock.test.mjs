import {test} from 'node:test'
import assert from 'node:assert/strict'
import fs from 'node:fs'
import os from 'node:os'
import path from 'node:path'
import {spawn} from 'node:child_process'
import {once} from 'node:events'
import {acquire, processStart, InUseError} from '../lock.mjs'

function tempDir(t) {
  const dir = fs.mkdtempSync(path.join(os.tmpdir(), 'pgserver-lock-'))
  t.after(() => fs.rmSync(dir, {recursive: true, force: true}))
  return dir
}

/** A process that takes the lock, says so or by whom it is held, and ends with its standard input. */
async function contender(t, dir) {
  const child = spawn(process.execPath, ['--input-type=module', '-e', `
    import {acquire} from ${JSON.stringify(new URL('../lock.mjs', import.meta.url).href)}
    try { await acquire(${JSON.stringify(dir)}); console.log('locked') } catch (e) { console.log('in use by ' + e.pid) }
    process.stdin.resume().on('end', () => process.exit())`], {stdio: ['pipe', 'pipe', 'inherit']})
  t.after(() => child.kill('SIGKILL'))
  const [out] = await once(child.stdout, 'data')
  return {child, said: String(out).trim()}
}

test('the lock is exclusive and released', async t => {
  const dir = tempDir(t)
  const release = await acquire(dir)
  await assert.rejects(acquire(dir), e => e instanceof InUseError && e.pid === process.pid && e.message.includes(dir))
  assert.equal((await contender(t, dir)).said, `in use by ${process.pid}`)
  release()
  const {child, said} = await contender(t, dir)
  assert.equal(said, 'locked')
  await assert.rejects(acquire(dir), e => e.pid === child.pid)
})

test('a killed owner holds nothing', async t => {
  const dir = tempDir(t)
  const {child} = await contender(t, dir)
  await assert.rejects(acquire(dir))
  child.kill('SIGKILL')
  await once(child, 'exit')
  ;(await acquire(dir))()
})

test('an owner that is about to end is waited for', async t => {
  const dir = tempDir(t)
  const {child} = await contender(t, dir)
  const waiting = acquire(dir, {wait: 60_000})
  child.stdin.end()
  ;(await waiting)()
})

test('a pid that another process has now holds nothing', async t => {
  const dir = tempDir(t)
  const start = processStart(process.pid)
  assert.ok(start)
  fs.writeFileSync(path.join(dir, 'lock.7'), JSON.stringify({pid: process.pid, start: start + '0'}))
  ;(await acquire(dir))()
  assert.deepEqual(fs.readdirSync(dir), ['lock.8'])
})

test('there is no start of a process that is not there', () => {
  assert.equal(processStart(2 ** 22 + 1), null)
})

test('of many that find a stale lock one takes it', async t => {
  const dir = tempDir(t)
  fs.writeFileSync(path.join(dir, 'lock.1'), JSON.stringify({pid: process.pid, start: 'long ago'}))
  const all = await Promise.all(Array.from({length: 6}, () => contender(t, dir)))
  const winners = all.filter(c => c.said === 'locked')
  assert.equal(winners.length, 1)
  for (const c of all) if (c !== winners[0]) assert.equal(c.said, `in use by ${winners[0].child.pid}`)
})
