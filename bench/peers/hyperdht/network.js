'use strict'
/*
 * hyperdht: a network of --nodes (64) processes with one node each on loopback; immutable values are put from one node,
 * then fetched from another that has not seen them. Every key is fetched once: nothing comes out of a cache.
 *
 *   node network.js [--count N] [--outstanding N] [--nodes N]
 *
 * Prints put_serial, lookup64_serial (one get after another) and lookup64_16 (16 outstanding), one JSON line each. In
 * its favour: immutable values need no signature, and a get is over with the first reply that carries the value.
 *
 * This process forks the others and is the node that fetches. A child ends when its channel to this process closes, so
 * none outlives it however it dies.
 */
const { fork } = require('child_process')
const crypto = require('crypto')
const dgram = require('dgram')
const DHT = require('hyperdht')

const HOST = '127.0.0.1'
const VALUE_SIZE = 100
const DEADLINE_MS = 170000
const STIR_SEARCHES = 4
const PARALLEL_STARTS = 4

function option (name, fallback) {
  const i = process.argv.indexOf('--' + name)
  return i > 0 ? Number(process.argv[i + 1]) : fallback
}

function fail (what) {
  process.stderr.write('bench: hyperdht: ' + what + '\n')
  process.exit(1) // closes the channels, which ends the children
}

function now () {
  return Number(process.hrtime.bigint() / 1000n) // microseconds
}

/* The values are reproducible, so that any node knows the key of each. */
function valueOf (i) {
  return crypto.createHash('shake256', { outputLength: VALUE_SIZE }).update('p2ps bench ' + i).digest()
}

function report (name, samples, elapsedUs, failed) {
  if (failed * 100 > samples.length) fail(`${failed} of ${samples.length + failed} operations failed`)
  samples.sort((a, b) => a - b)
  const at = (p) => samples[Math.min(samples.length - 1, Math.floor(samples.length * p))]
  console.log(JSON.stringify({
    bench: name, value: samples.length * 1e6 / elapsedUs, unit: 'op/s', p50_us: at(0.5), p99_us: at(0.99),
    count: samples.length + failed, failed
  }))
}

/* Runs operation(i) for i in [from, to), `outstanding` at a time; an operation resolves to whether it succeeded. */
async function measure (name, from, to, outstanding, operation) {
  const samples = []
  let next = from
  let failed = 0
  const begun = now()
  async function worker () {
    while (next < to) {
      const i = next++
      const start = now()
      if (await operation(i)) samples.push(now() - start)
      else failed++
    }
  }
  await Promise.all(Array.from({ length: outstanding }, worker))
  if (name) report(name, samples, now() - begun, failed)
}

async function startNode (bootstrapPort) {
  const node = new DHT({
    host: HOST, port: await freePort(), anyPort: false, ephemeral: false, firewalled: false,
    bootstrap: [{ host: HOST, port: bootstrapPort }]
  })
  await node.fullyBootstrapped()
  return node
}

function freePort () {
  return new Promise((resolve, reject) => {
    const socket = dgram.createSocket('udp4')
    socket.once('error', reject)
    socket.bind(0, HOST, () => {
      const { port } = socket.address()
      socket.close(() => resolve(port))
    })
  })
}

/* Searches for random keys, so that every node meets nodes from all over the ring before anything counts. */
async function stir (node) {
  for (let i = 0; i < STIR_SEARCHES; i++) await node.findNode(crypto.randomBytes(32)).finished()
}

async function child () {
  let node = null
  const does = {
    async bootstrapper () {
      const port = await freePort()
      node = DHT.bootstrapper(port, HOST)
      await node.fullyBootstrapped()
      return port
    },
    async node (port) { node = await startNode(port) },
    async stir () { await stir(node) },
    async put ({ total, measured, name }) {
      const put = async (i) => (await node.immutablePut(valueOf(i))).closestNodes.length > 0
      await measure(name, 0, measured, 1, put)
      await measure(null, measured, total, 8, put)
    }
  }
  process.on('disconnect', () => process.exit(0))
  process.on('message', async ({ verb, argument }) => {
    try {
      process.send({ result: await does[verb](argument) })
    } catch (error) {
      fail(error.stack)
    }
  })
}

/* Asks a child for something and waits for its answer. */
function ask (process, verb, argument) {
  return new Promise((resolve) => {
    process.once('message', ({ result }) => resolve(result))
    process.send({ verb, argument })
  })
}

async function main () {
  const nodes = option('nodes', 64)
  const count = option('count', 1500)
  const outstanding = option('outstanding', 16)
  const warm = Math.floor(count / 4)
  const total = warm + 2 * count
  setTimeout(() => fail('deadline passed'), DEADLINE_MS).unref()
  for (const signal of ['SIGTERM', 'SIGINT']) process.on(signal, () => fail(signal))

  const children = []
  for (let i = 0; i < nodes - 1; i++) {
    const c = fork(__filename, ['--child'], { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] })
    c.on('exit', () => fail('a child ended early'))
    children.push(c)
  }
  const port = await ask(children[0], 'bootstrapper')
  for (let i = 1; i < children.length; i += PARALLEL_STARTS) {
    await Promise.all(children.slice(i, i + PARALLEL_STARTS).map((c) => ask(c, 'node', port)))
  }
  const node = await startNode(port)
  for (const c of children.slice(1)) await ask(c, 'stir')
  await stir(node)

  await ask(children[1], 'put', { total, measured: count, name: 'put_serial' })
  const hash = (i) => DHT.hash(valueOf(i))
  const targets = Array.from({ length: total }, (_, i) => hash(i))
  const get = async (i) => {
    const reply = await node.immutableGet(targets[i])
    return reply !== null && reply.value.length === VALUE_SIZE
  }
  await measure(null, 0, warm, 4, get)
  await measure('lookup64_serial', warm, warm + count, 1, get)
  await measure('lookup64_16', warm + count, total, outstanding, get)
  process.exit(0)
}

process.on('unhandledRejection', (error) => fail(error.stack))
if (process.argv[2] === '--child') child()
else main()
