// The thread that serves: the backend and its clients. It tells main.mjs {port} when it listens, {crashed} when the backend is dead, and
// {stopped} when it has closed the database as asked.
import {parentPort, workerData as options} from 'node:worker_threads'
import {Backend} from './backend.mjs'
import {Server} from './server.mjs'

const backend = await Backend.open(options.dataDir, options)
const server = new Server(backend, {...options, onAbort: e => parentPort.postMessage({crashed: e.stack || String(e)})})
const {port} = await server.listen(options.host, options.port)

parentPort.on('message', async () => {
  server.stop()
  try {
    await backend.close()
  } catch (e) {
    console.error('closing the database:', e.message)
  }
  parentPort.postMessage({stopped: true})
})
parentPort.postMessage({port})
