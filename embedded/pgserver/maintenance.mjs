// The background work for which a PostgreSQL server has processes: checkpoints, without which the write-ahead log grows without bound and
// a restart replays all of it, and vacuum. It runs between the units of clients, one short statement at a time.

const PERIOD = 5_000
/** Bytes of write-ahead log between checkpoints. */
const CHECKPOINT_EVERY = 64 * 1024 * 1024
/** A vacuum round begins no sooner than this after the last, and only when there were writes. */
const VACUUM_EVERY = 10 * 60_000

/** Bytes of write-ahead log between queries for chunks to analyze. */
const ANALYZE_EVERY = 4 * 1024 * 1024

/** The chunk that grew most since it was last analyzed, if it doubled: relpages is what that analysis saw. */
const GROWN = `select pg_catalog.format('%I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace,
       pg_catalog.int8(pg_catalog.pg_relation_size(c.oid) / 8192) pages
  where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname = '_timescaledb_internal'
    and pages >= 2 * greatest(c.relpages, 32)
  order by pages / greatest(c.relpages, 1) desc limit 1`

/** The tables that change much and stay small: catalogs, TimescaleDB's catalog and ordinary tables. Chunks are written once and have
 * TimescaleDB's own policies. */
const TABLES = `select pg_catalog.format('%I.%I', n.nspname, c.relname)
  from pg_catalog.pg_class c join pg_catalog.pg_namespace n on n.oid = c.relnamespace
  where c.relkind = 'r' and c.relpersistence = 'p' and n.nspname not in ('_timescaledb_internal', 'information_schema')
    and c.relpages < 10000`

export class Maintenance {
  #backend
  #scheduler
  #timer
  #checkpointed = null // position of the log at the last checkpoint
  #analyzed = null     // position of the log at the last query for grown chunks
  #vacuumed = Date.now()
  #vacuumedAt = null   // position of the log then
  #tables = []
  #pending = false

  constructor(backend, scheduler, {period = PERIOD} = {}) {
    this.#backend = backend
    this.#scheduler = scheduler
    this.#timer = setInterval(() => this.#tick(), period)
    this.#timer.unref()
  }

  stop() {
    clearInterval(this.#timer)
  }

  #tick() {
    if (this.#pending) return // a client holds the backend
    this.#pending = true
    this.#scheduler.task(() => {
      this.#pending = false
      this.#checkpoint()
    })
  }

  #checkpoint() {
    const [[position]] = this.#run(`select pg_catalog.pg_current_wal_insert_lsn() - '0/0'::pg_lsn`)
    const log = Number(position)
    this.#checkpointed ??= log
    this.#vacuumedAt ??= log
    this.#analyzed ??= 0
    if (log - this.#checkpointed >= CHECKPOINT_EVERY) {
      this.#run('checkpoint')
      this.#checkpointed = log
    }
    if (log - this.#analyzed >= ANALYZE_EVERY) {
      const [grown] = this.#run(GROWN)
      if (grown) this.#runIfExists(`analyze ${grown[0]}`)
      else this.#analyzed = log
    }
    if (!this.#tables.length && Date.now() - this.#vacuumed >= VACUUM_EVERY && log !== this.#vacuumedAt) {
      this.#vacuumed = Date.now()
      this.#vacuumedAt = log
      this.#tables = this.#run(TABLES).map(([name]) => name)
      this.#vacuumNext()
    }
  }

  #vacuumNext() {
    const table = this.#tables.pop()
    if (!table) return
    this.#scheduler.task(() => {
      this.#runIfExists(`vacuum (analyze) ${table}`)
      setTimeout(() => this.#vacuumNext(), 20).unref() // clients first
    })
  }

  /** As run, for a table that may have been dropped since. */
  #runIfExists(sql) {
    try {
      this.#run(sql)
    } catch (e) {
      if (!e.sql) throw e
    }
  }

  #run(sql) {
    return this.#scheduler.asServer(() => this.#backend.run(sql))
  }
}
