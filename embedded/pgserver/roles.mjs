// Who may log in. Answers are kept until a statement that changes roles comes by.
import {quoteString} from './sql.mjs'

export class Roles {
  #backend
  #known = new Map()

  constructor(backend) {
    this.#backend = backend
  }

  forget() {
    this.#known.clear()
  }

  /** The role as far as it is known without asking the backend. */
  known(name) {
    return this.#known.get(name)
  }

  /** Asks the backend: {login, superuser, settings: [name, value][]}, or null when there is no such role. */
  lookup(name) {
    const found = this.#backend.run(`select r.rolcanlogin, r.rolsuper, (
        select pg_catalog.json_agg(c.kv order by s.setrole <> 0, s.setdatabase <> 0)
        from pg_catalog.pg_db_role_setting s, pg_catalog.unnest(s.setconfig) c(kv)
        where s.setrole in (0, r.oid)
          and s.setdatabase in (0, (select d.oid from pg_catalog.pg_database d where d.datname = pg_catalog.current_database())))
      from pg_catalog.pg_roles r where r.rolname = ${quoteString(name)}`)
    if (!found.length) return null // not kept: strangers must not fill the memory
    const [login, superuser, config] = found[0]
    const role = {
      login: login === 't',
      superuser: superuser === 't',
      settings: JSON.parse(config ?? '[]').map(kv => [kv.slice(0, kv.indexOf('=')), kv.slice(kv.indexOf('=') + 1)]),
    }
    this.#known.set(name, role)
    return role
  }
}
