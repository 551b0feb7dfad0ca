/* The WebSocket ways in: Node without a global WebSocket, and a class as browsers have it. */
import { after, before, test } from 'node:test';
import assert from 'node:assert/strict';
import http from 'node:http';
import { connect } from '../src/index.js';
import { clientFrame, NodeWebSocketTransport, ServerFrames } from '../src/node_websocket.js';
import { FakeBroker, pair, serverFrame } from './fake_broker.js';

const bytes = text => new TextEncoder().encode(text);
const turn = () => new Promise(resolve => setImmediate(resolve));

let broker;
before(async () => {
  delete globalThis.WebSocket; /* Node 22 has one; here the package's own is meant */
  broker = await FakeBroker.start('ws');
});
after(() => broker.stop());

async function join(options) {
  const client = await connect(broker.url, options);
  return [client, broker.sessions.at(-1)];
}

async function until(done) {
  while (!done()) await turn();
}

test('messages of every size go both ways over a WebSocket', async () => {
  const [client, session] = await join();
  const sizes = [0, 1, 80, 126, 300, 65_535, 65_536, 200_000];
  const got = [];
  await client.subscribe('a', {}, message => got.push(message.payload.length)).ready;
  for (const size of sizes) {
    await client.publish('a', new Uint8Array(size).fill(size));
    const [, , , payload] = await session.expect(4);
    assert.deepEqual([payload.length, payload.at(-1)], [size, size === 0 ? undefined : size & 255]);
    session.send([68, 'a', new Uint8Array(size)]);
  }
  await until(() => got.length === sizes.length);
  assert.deepEqual(got, sizes);
  await client.close();
  await session.closed;
  assert.deepEqual(session.link.controls.map(([opcode]) => opcode), [8]);
});

test('PING is answered with its payload, and a Close ends the connection', async () => {
  const [client, session] = await join({ reconnect: false });
  session.link.control(9, Buffer.from('beat'));
  await until(() => session.link.controls.length > 0);
  assert.deepEqual(session.link.controls[0], [10, Buffer.from('beat')]);
  session.link.control(8, Buffer.from([3, 233]));
  await until(() => client.state === 'closed');
});

test('a frame in fragments, and several frames in one message, are read alike', async () => {
  const [client, session] = await join();
  const got = [];
  await client.subscribe('a', {}, message => got.push(message.text())).ready;
  const two = Buffer.concat([pair([68, 'a', bytes('1')]), pair([68, 'a', bytes('2')])]);
  session.link.raw(Buffer.concat([
    serverFrame(0x02, two.subarray(0, 7)), serverFrame(0x00, two.subarray(7, 9)), serverFrame(0x89, Buffer.from('between')),
    serverFrame(0x80, two.subarray(9)),
  ]));
  await until(() => got.length === 2);
  assert.deepEqual(got, ['1', '2']);
  await client.close();
});

test('what no server may send ends the connection', async () => {
  for (const raw of [[0x82, 0x81, 0, 0, 0, 0, 0], [0x81, 1, 65], [0xc2, 1, 65], [0x09, 0], [0x89, 126, 0, 126], [0x83, 0]]) {
    const [client, session] = await join({ reconnect: false });
    const over = new Promise(resolve => client.on('state', resolve));
    session.link.raw(Buffer.from(raw));
    assert.equal((await over).error.code, 'protocol_error', raw.join());
  }
});

test('a server that is no broker is an error', async () => {
  const server = http.createServer((request, response) => response.writeHead(404).end());
  await new Promise(resolve => server.listen(0, '127.0.0.1', resolve));
  await assert.rejects(connect(`ws://127.0.0.1:${server.address().port}`), { code: 'io_error', message: /404/ });
  server.on('upgrade', (request, socket) => socket.end(
    'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: x\r\n\r\n'));
  await assert.rejects(connect(`ws://127.0.0.1:${server.address().port}`), { code: 'io_error', message: /sluice/ });
  server.close();
});

test('frames of a server split at any byte are read alike', () => {
  const stream = Buffer.concat([
    serverFrame(0x82, Buffer.from('ab')), serverFrame(0x82, Buffer.alloc(0)), serverFrame(0x89, Buffer.from('p')),
    serverFrame(0x82, Buffer.alloc(130, 1)), serverFrame(0x82, Buffer.alloc(66_000, 2)), serverFrame(0x8a, Buffer.alloc(0)),
  ]);
  const read = pieces => {
    const seen = { data: [], controls: [] };
    const frames = new ServerFrames({
      ondata: piece => seen.data.push(Buffer.from(piece)),
      oncontrol: (opcode, piece) => seen.controls.push([opcode, String(piece)]),
    });
    for (const piece of pieces) frames.push(piece);
    return { data: Buffer.concat(seen.data), controls: seen.controls };
  };
  const whole = read([stream]);
  assert.equal(whole.data.length, 66_132);
  assert.deepEqual(whole.controls, [[9, 'p'], [10, '']]);
  for (let i = 0; i < 300; i += 1) assert.deepEqual(read([stream.subarray(0, i), stream.subarray(i)]), whole);
  assert.deepEqual(read(Array.from(stream.subarray(0, 400), (_, i) => stream.subarray(i, i + 1)).concat(stream.subarray(400))), whole);
});

test('what a client sends is masked, with a mask of its own each time', () => {
  const [one, two] = [clientFrame(2, Buffer.from('text')), clientFrame(2, Buffer.from('text'))];
  assert.deepEqual([one[0], one[1]], [0x82, 0x84]);
  assert.notDeepEqual(one, two);
});

/* ---- as in browsers ---- */

class BrowserSocket {
  static made = [];
  bufferedAmount = 0;
  sent = [];

  constructor(url, subprotocol) {
    Object.assign(this, { url, subprotocol });
    BrowserSocket.made.push(this);
    queueMicrotask(() => queueMicrotask(() => setImmediate(() => this.onopen())));
  }

  send(data) {
    this.sent.push(data);
    this.bufferedAmount += data.length;
    if (this.sent.length === 1) this.say([65, 's', {}]);
  }

  say(frame) {
    const { buffer, byteOffset, length } = pair(frame);
    queueMicrotask(() => this.onmessage({ data: buffer.slice(byteOffset, byteOffset + length) }));
  }

  close(code) {
    setImmediate(() => this.onclose({ code: code ?? 1005, reason: '' }));
  }
}

test('the WebSocket of the options is used as a browser\'s', async () => {
  const client = await connect('ws://broker.example/', { WebSocket: BrowserSocket });
  const socket = BrowserSocket.made.at(-1);
  assert.deepEqual([socket.url, socket.subprotocol, socket.binaryType], ['ws://broker.example/', 'sluice.v1', 'arraybuffer']);
  const reading = client.subscribe('a')[Symbol.asyncIterator]();
  socket.say([68, 'a', bytes('hello')]);
  assert.equal((await reading.next()).value.text(), 'hello');
  await client.close({ timeoutMs: 0 });
  assert.equal(client.state, 'closed');
});

test('a publisher waits while bufferedAmount is high', async () => {
  const client = await connect('ws://broker.example/', { WebSocket: BrowserSocket, highWaterBytes: 300_000 });
  const socket = BrowserSocket.made.at(-1);
  await client.publish('a', new Uint8Array(400_000), { ack: false });
  let isSent = false;
  const second = client.publish('a', 'x', { ack: false }).then(() => (isSent = true));
  await new Promise(resolve => setTimeout(resolve, 50));
  assert.equal(isSent, false);
  socket.bufferedAmount = 0;
  await second;
  await client.close({ timeoutMs: 0 });
});

test('a WebSocket message holds at most 64 KiB, unless one frame is larger', async () => {
  const client = await connect('ws://broker.example/', { WebSocket: BrowserSocket });
  const socket = BrowserSocket.made.at(-1);
  for (const size of [30_000, 30_000, 30_000, 100_000, 10]) client.publish('a', new Uint8Array(size), { ack: false });
  await turn();
  assert.deepEqual(socket.sent.slice(1).map(data => Math.round(data.length / 10_000)), [6, 3, 10, 0]);
  await client.close({ timeoutMs: 0 });
});

test('after a BYE the connection counts as gone, however long the socket takes to close', async () => {
  const client = await connect('ws://broker.example/', { WebSocket: BrowserSocket, reconnect: { initialMs: 60_000 } });
  const socket = BrowserSocket.made.at(-1);
  socket.close = () => {};
  socket.say([72, 'shutting_down', '', 0]);
  await new Promise(resolve => client.on('state', resolve));
  assert.equal(client.state, 'reconnecting');
  await client.close();
});

test('a text message, or a close without a reason, is an error', async () => {
  for (const [event, code] of [[socket => socket.onmessage({ data: 'text' }), 'protocol_error'],
                               [socket => socket.onclose({ code: 1006, reason: '' }), 'io_error']]) {
    const client = await connect('ws://broker.example/', { WebSocket: BrowserSocket, reconnect: false });
    const over = new Promise(resolve => client.on('state', resolve));
    event(BrowserSocket.made.at(-1));
    assert.equal((await over).error.code, code);
  }
});

test('nothing opens when it is given up at once', async () => {
  let told = 0;
  const events = { open: () => assert.fail('open'), data() {}, drain() {}, closed: () => (told += 1) };
  const transport = new NodeWebSocketTransport(new URL(broker.url), {}, events);
  transport.abort();
  await turn();
  assert.equal(told, 1);
});
