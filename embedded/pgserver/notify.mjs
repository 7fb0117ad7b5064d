// LISTEN and NOTIFY between clients that share one backend. The backend listens to every channel that any client listens to; what it
// reports is handed to the clients of that channel.
import {T, stringAt, messages} from './protocol.mjs'

export class Channels {
  #listeners = new Map() // channel -> Set of sessions

  get size() {
    return this.#listeners.size
  }

  /** Every channel that has a listener. */
  names() {
    return [...this.#listeners.keys()]
  }

  listen(channel, session) {
    const set = this.#listeners.get(channel)
    if (set) set.add(session)
    else this.#listeners.set(channel, new Set([session]))
  }

  /** Returns the channels that nobody listens to any more. */
  unlisten(channel, session) {
    const orphaned = []
    for (const name of channel === '*' ? this.names() : [channel]) {
      const set = this.#listeners.get(name)
      if (!set?.delete(session) || set.size) continue
      this.#listeners.delete(name)
      orphaned.push(name)
    }
    return orphaned
  }

  /** Takes the notifications out of the backend's output, sends them to their listeners and returns what is left. pid is that of the
   * client whose work made them. */
  dispatch(out, pid) {
    const kept = []
    let found = false
    for (const m of messages(out)) {
      if (m[0] !== T.NOTIFICATION) {
        kept.push(m)
        continue
      }
      found = true
      const note = Buffer.from(m)
      note.writeInt32BE(pid, 5) // the backend's own pid would be the same for all
      for (const session of this.#listeners.get(stringAt(m, 9)) ?? []) session.write(note)
    }
    return found ? Buffer.concat(kept) : out
  }
}
