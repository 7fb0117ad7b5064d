// The lock on a data directory. PGlite takes none, and two servers on one directory destroy it.
//
// A lock is a file lock.N that names its owner by pid and by the time that process started, so that a pid used again by another
// process does not count. Numbers only rise: whoever takes the lock from a dead owner N creates N+1, which one process alone can do,
// and an older file is removed only once a newer one exists. A file that is not the newest is therefore never a lock.
import fs from 'node:fs'
import path from 'node:path'
import {execFileSync} from 'node:child_process'
import {setTimeout as sleep} from 'node:timers/promises'

export class InUseError extends Error {
  constructor(dir, pid) {
    super(`data directory ${dir} is in use by process ${pid}`)
    this.pid = pid
  }
}

/** When the process started, as something that two processes of one pid do not share; null when there is no such process. */
export function processStart(pid) {
  if (process.platform === 'linux') {
    try {
      const stat = fs.readFileSync(`/proc/${pid}/stat`, 'utf8')
      const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ') // from field 3: the name before it may hold anything
      if (fields[0] === 'Z') return null // killed and not yet reaped: it holds nothing any more
      return bootID() + ' ' + fields[19] // field 22
    } catch (e) {
      if (e.code === 'ENOENT' || e.code === 'ESRCH') return null
      throw e
    }
  }
  try {
    return execFileSync('ps', ['-o', 'lstart=', '-p', String(pid)], {encoding: 'utf8'}).trim() || null
  } catch {
    return null
  }
}

function bootID() {
  try {
    return fs.readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim()
  } catch {
    return ''
  }
}

const numbers = dir => fs.readdirSync(dir).map(f => /^lock\.(\d+)$/.exec(f)?.[1]).filter(Boolean).map(Number).sort((a, b) => a - b)

/** The pid that holds the lock file, or 0 when its owner is gone or has released it. */
function owner(file) {
  let text
  try {
    text = fs.readFileSync(file, 'utf8')
  } catch (e) {
    if (e.code === 'ENOENT') return 0
    throw e
  }
  if (text === '') return 0
  const {pid, start} = JSON.parse(text)
  return processStart(pid) === start ? pid : 0
}

/** Takes the lock of dir, waiting up to wait ms for an owner that is about to end. Returns the function that releases it. */
export async function acquire(dir, {wait = 0} = {}) {
  fs.mkdirSync(dir, {recursive: true})
  const deadline = Date.now() + wait
  for (;;) {
    const pid = tryAcquire(dir)
    if (typeof pid === 'function') return pid
    if (Date.now() >= deadline) throw new InUseError(dir, pid)
    await sleep(25)
  }
}

function tryAcquire(dir) {
  const own = path.join(dir, `lock-new.${process.pid}`)
  fs.writeFileSync(own, JSON.stringify({pid: process.pid, start: processStart(process.pid)}))
  try {
    for (;;) {
      const newest = numbers(dir).at(-1) ?? 0
      const pid = newest && owner(path.join(dir, `lock.${newest}`))
      if (pid) return pid
      const mine = path.join(dir, `lock.${newest + 1}`)
      try {
        fs.linkSync(own, mine) // appears with its content, or fails
      } catch (e) {
        if (e.code === 'EEXIST') continue
        throw e
      }
      const all = numbers(dir)
      if (all.at(-1) !== newest + 1) { // others took and left it since we looked
        fs.rmSync(mine, {force: true})
        continue
      }
      for (const n of all.slice(0, -1)) fs.rmSync(path.join(dir, `lock.${n}`), {force: true})
      return () => fs.writeFileSync(mine, '') // emptied, not removed: the number must not be used again
    }
  } finally {
    fs.rmSync(own, {force: true})
  }
}
