// Runs harness.py in the real MicroPython, compiled to WebAssembly: this lends it a socket, a file and standard input.
//
//     node micropython.mjs NAME PORT|serial:PORT STORE|- MEMORY UNIQUE-ID
//     node micropython.mjs selftest                              runs selftest.py to its end instead
import { appendFileSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { randomInt } from 'node:crypto'
import { connect } from 'node:net'
import { createInterface } from 'node:readline'
import { loadMicroPython } from '@micropython/micropython-webassembly-pyscript/micropython.mjs'

const [name, port, store, memory, uniqueId] = process.argv.slice(2)
const here = new URL('.', import.meta.url).pathname
let socket = null
let received = ''
let closed = false

const host = {
  open() {
    host.close()
    closed = false
    socket = connect({ host: '127.0.0.1', port: Number(port.split(':').pop()), noDelay: true })
    const own = socket
    const ended = () => { if (own === socket) closed = true }
    socket.on('data', (data) => { if (own === socket) received += data.toString('hex') })
    socket.on('close', ended)
    socket.on('error', ended)
  },
  close() {
    socket?.destroy()
    socket = null
    received = ''
  },
  send(data) { socket?.write(Buffer.from(data, 'hex')) },
  receive() {
    if (received === '' && closed) return 'closed'
    const data = received
    received = ''
    return data
  },
  read() { return existsSync(store) ? readFileSync(store).toString('hex') : '' },
  append(data) { appendFileSync(store, Buffer.from(data, 'hex')) },
  replace(data) {
    writeFileSync(`${store}.new`, Buffer.from(data, 'hex'))
    renameSync(`${store}.new`, store)
  },
}

const isSelftest = process.argv.length === 3
const python = await loadMicroPython({ heapsize: (isSelftest ? 4096 : 192) * 1024 }) // a Pico has 192 KiB
python.registerJsModule('host', host)
const client = '../../firmware-bridge/clients/micropython/bellwire.py'
for (const [module, path] of [['bellwire', client], ['harness', 'harness.py'], ['selftest', 'selftest.py']]) {
  python.FS.writeFile(`/${module}.py`, readFileSync(here + path))
}
python.runPython('import sys; sys.path.append("/")')
if (isSelftest) {
  python.runPython('import selftest; parts = selftest.all_parts()\ndef step(): return next(parts, "end")')
  const step = python.globals.get('step')
  for (let said = step(); said !== 'end'; said = step()) if (said) console.log(said)
  process.exit(0)
}
python.runPython(`
import binascii, bellwire, harness, host

def plain(data):
    return binascii.hexlify(data).decode()

class Line:
    def open(self):
        host.open()
    def close(self):
        host.close()
    def send(self, data):
        host.send(plain(data))
    def receive(self):
        data = host.receive()
        if data == "closed":
            raise OSError(104)
        return binascii.unhexlify(data)

class Storage:
    def read(self):
        return binascii.unhexlify(host.read())
    def append(self, data):
        host.append(plain(data))
    def replace(self, data):
        host.replace(plain(data))

def start(name, port, store, memory, unique_id, process, seed):
    global device
    storage = bellwire.Memory() if store == "-" else Storage()
    device = harness.Harness(Line(), storage, name, port, memory, unique_id, process, int(seed))

def turn(now):
    device.turn(int(now))

def command(line):
    return device.command(line)
`)
const [start, turn, command] = ['start', 'turn', 'command'].map((what) => python.globals.get(what))
start(name, port, store, memory, uniqueId, process.pid, String(randomInt(2 ** 32))) // boards have os.urandom
const now = () => Math.floor(performance.now())
setInterval(() => turn(now()), 5)
const lines = createInterface({ input: process.stdin })
lines.on('line', (line) => {
  process.stdout.write(`${command(line)}\n`)
  turn(now())
})
lines.on('close', () => process.exit(0))
