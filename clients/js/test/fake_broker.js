/*
 * A broker on loopback that does as the test says. By itself it answers HELLO, SUB, UNSUB, PUB and PING as a real one
 * with no other subscribers would; `broker.serve` can take over any frame. It has its own framing, so that a mistake
 * in the client's cannot hide here.
 */
import { createHash } from 'node:crypto';
import { once } from 'node:events';
import http from 'node:http';
import net from 'node:net';
import { decode, encode } from '@msgpack/msgpack';

export function pair(frame) {
  const body = Buffer.from(encode(frame));
  const size = Buffer.alloc(5);
  size[0] = 0xce;
  size.writeUInt32BE(body.length, 1);
  return Buffer.concat([size, body]);
}

class Session {
  frames = []; /* all that came */
  #unread = [];
  #readers = [];
  #rest = Buffer.alloc(0);

  /* `link`: write(bytes), destroy(), end(). */
  constructor(broker, link) {
    this.broker = broker;
    this.link = link;
    this.closed = new Promise(resolve => {
      this.onclosed = resolve;
    });
  }

  receive(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#rest.length >= 5 && this.#rest.length >= 5 + this.#rest.readUInt32BE(1)) {
      const end = 5 + this.#rest.readUInt32BE(1);
      this.#take(decode(this.#rest.subarray(5, end)));
      this.#rest = this.#rest.subarray(end);
    }
  }

  /* Frames in one write. */
  send(...frames) {
    this.raw(Buffer.concat(frames.map(pair)));
  }

  raw(bytes) {
    this.link.write(bytes);
  }

  cut() {
    this.link.destroy();
  }

  /* The next frame with this op that no other call has returned. */
  async expect(op) {
    for (;;) {
      const at = this.#unread.findIndex(frame => frame[0] === op);
      if (at >= 0) return this.#unread.splice(at, 1)[0];
      await new Promise(resolve => this.#readers.push(resolve));
    }
  }

  #take(frame) {
    this.frames.push(frame);
    this.#unread.push(frame);
    if (!this.broker.serve?.(this, frame)) this.#answer(frame);
    for (const wake of this.#readers.splice(0)) wake();
  }

  #answer([op, id, filter, options]) {
    if (op === 1) this.send([65, 's1', { server: 'fake/1', max_frame: 1 << 20, keepalive_s: 0, ...this.broker.welcome }]);
    if (op === 2) this.send([66, id, { policy: 'drop_oldest', queue: 1024, ...(filter && options) }]);
    if (op === 3) this.send([66, id]);
    if (op === 4 && id !== 0) this.send([66, id]);
    if (op === 6) this.send([71]);
  }
}

export class FakeBroker {
  sessions = [];
  welcome = {};
  serve = null; /* (session, frame) → true when it has dealt with the frame */
  #awaited = [];
  #port = 0;

  static async start(kind = 'tcp') {
    const broker = new FakeBroker();
    broker.kind = kind;
    await broker.listen();
    return broker;
  }

  get url() {
    return `${this.kind}://127.0.0.1:${this.#port}`;
  }

  /* Also again, on the same port, after stop(). */
  async listen() {
    this.server = this.kind === 'ws' ? this.#httpServer() : net.createServer(socket => this.#meet(socket, socket));
    this.server.listen(this.#port, '127.0.0.1');
    await once(this.server, 'listening');
    this.#port = this.server.address().port;
  }

  async stop() {
    for (const session of this.sessions) session.cut();
    if (!this.server.listening) return;
    this.server.close();
    await once(this.server, 'close');
  }

  /* The n-th session, counted from 0. */
  async session(n) {
    while (this.sessions.length <= n) await new Promise(resolve => this.#awaited.push(resolve));
    return this.sessions[n];
  }

  #meet(socket, link) {
    const session = new Session(this, link);
    socket.on('error', () => {});
    socket.on('close', session.onclosed);
    if (link === socket) socket.on('data', bytes => session.receive(bytes));
    this.sessions.push(session);
    for (const wake of this.#awaited.splice(0)) wake();
    return session;
  }

  #httpServer() {
    const server = http.createServer((request, response) => response.writeHead(404).end());
    server.on('upgrade', (request, socket) => this.#upgrade(request, socket));
    return server;
  }

  #upgrade({ headers }, socket) {
    const accept = createHash('sha1')
      .update(`${headers['sec-websocket-key']}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
                 `Sec-WebSocket-Accept: ${accept}\r\nSec-WebSocket-Protocol: ${headers['sec-websocket-protocol']}\r\n\r\n`);
    const link = {
      write: bytes => socket.write(serverFrame(0x82, bytes)),
      control: (opcode, bytes) => socket.write(serverFrame(0x80 | opcode, bytes)),
      raw: bytes => socket.write(bytes),
      destroy: () => socket.destroy(),
      controls: [],
    };
    const session = this.#meet(socket, link);
    let rest = Buffer.alloc(0);
    socket.on('data', bytes => {
      rest = Buffer.concat([rest, bytes]);
      for (let frame; (frame = cutClientFrame(rest)); rest = rest.subarray(frame.end)) takeClientFrame(session, frame, socket);
    });
  }
}

export function serverFrame(first, bytes) {
  const { length } = bytes;
  if (length < 126) return Buffer.concat([Buffer.from([first, length]), bytes]);
  if (length < 65536) return Buffer.concat([Buffer.from([first, 126, length >> 8, length & 255]), bytes]);
  const header = Buffer.from([first, 127, 0, 0, 0, 0, 0, 0, 0, 0]);
  header.writeUInt32BE(length, 6);
  return Buffer.concat([header, bytes]);
}

function takeClientFrame(session, { opcode, isMasked, bytes }, socket) {
  if (!isMasked) throw new Error('a client frame without a mask');
  if (opcode === 2) session.receive(bytes);
  else session.link.controls.push([opcode, bytes]);
  if (opcode === 8) {
    session.link.control(8, bytes);
    socket.end();
  }
}

function cutClientFrame(input) {
  if (input.length < 2) return null;
  const short = input[1] & 127;
  const at = short === 126 ? 4 : short === 127 ? 10 : 2;
  if (input.length < at + 4) return null;
  const length = short === 126 ? input.readUInt16BE(2) : short === 127 ? input.readUInt32BE(6) : short;
  const end = at + 4 + length;
  if (input.length < end) return null;
  const bytes = Buffer.from(input.subarray(at + 4, end));
  for (let i = 0; i < length; i += 1) bytes[i] ^= input[at + (i & 3)];
  return { opcode: input[0] & 15, isMasked: (input[1] & 128) !== 0, bytes, end };
}
