/*
 * A WebSocket client (RFC 6455) for the Node versions that have none of their own, as far as sluice.v1 needs it:
 * binary messages whose bounds mean nothing, since the frames inside carry their own sizes. Node only; see
 * transport.js for the contract.
 */
import { createHash, randomBytes, randomFillSync } from 'node:crypto';
import http from 'node:http';
import https from 'node:https';
import { SUBPROTOCOL } from './codec.js';
import { SluiceError } from './error.js';

const ACCEPT_SALT = '258EAFA5-E914-47DA-95CA-C5AB0DC85B11';
const OPCODE = { CONTINUATION: 0, BINARY: 2, CLOSE: 8, PING: 9, PONG: 10 };
const FIN = 0x80;
const MASKED = 0x80;
const CONTROL_BYTES_MAX = 125;

/* One masked frame: header, mask, masked bytes. */
export function clientFrame(opcode, bytes) {
  const { length } = bytes;
  const header = length < 126 ? 2 : length < 65536 ? 4 : 10;
  const frame = Buffer.allocUnsafe(header + 4 + length);
  frame[0] = FIN | opcode;
  if (header === 2) frame[1] = MASKED | length;
  else if (header === 4) {
    frame[1] = MASKED | 126;
    frame.writeUInt16BE(length, 2);
  } else {
    frame[1] = MASKED | 127;
    frame.writeBigUInt64BE(BigInt(length), 2);
  }
  randomFillSync(frame, header, 4);
  for (let i = 0; i < length; i += 1) frame[header + 4 + i] = bytes[i] ^ frame[header + (i & 3)];
  return frame;
}

/*
 * Reads a server's frames from a stream split anywhere: `ondata(bytes)` with every piece of a message as it comes,
 * `oncontrol(opcode, bytes)` with whole control frames. Throws at what no server may send.
 */
export class ServerFrames {
  #header = Buffer.alloc(0);
  #opcode = 0;
  #left = -1; /* bytes of the frame still to come; -1 while its header is not whole */
  #control = [];

  constructor({ ondata, oncontrol }) {
    this.ondata = ondata;
    this.oncontrol = oncontrol;
  }

  push(bytes) {
    let rest = bytes;
    while (rest.length > 0 || this.#left === 0) {
      if (this.#left < 0) {
        rest = this.#readHeader(rest);
      } else {
        const piece = rest.subarray(0, this.#left);
        rest = rest.subarray(piece.length);
        this.#left -= piece.length;
        this.#take(piece);
      }
    }
  }

  /* Takes what the header lacks and returns the rest. */
  #readHeader(bytes) {
    const held = this.#header.length;
    const input = held > 0 ? Buffer.concat([this.#header, bytes]) : bytes;
    const length = input.length < 2 ? 0 : input[1] & 0x7f;
    const need = length === 126 ? 4 : length === 127 ? 10 : 2;
    if (input.length < need) {
      this.#header = Buffer.from(input);
      return bytes.subarray(bytes.length);
    }
    this.#header = Buffer.alloc(0);
    this.#opcode = input[0] & 0x0f;
    this.#left = need === 2 ? length : need === 4 ? input.readUInt16BE(2) : Number(input.readBigUInt64BE(2));
    this.#checkHeader(input[0], input[1]);
    return input.subarray(need);
  }

  #checkHeader(first, second) {
    const isControl = this.#opcode >= OPCODE.CLOSE;
    const isKnown = Object.values(OPCODE).includes(this.#opcode);
    const isWhole = !isControl || (first & FIN && this.#left <= CONTROL_BYTES_MAX);
    if (!isKnown || !isWhole || first & 0x70 || second & MASKED) {
      throw new SluiceError('protocol_error', 'a WebSocket frame that no server may send');
    }
  }

  #take(piece) {
    const isDone = this.#left === 0;
    if (isDone) this.#left = -1;
    if (this.#opcode < OPCODE.CLOSE) {
      if (piece.length > 0) this.ondata(piece);
      return;
    }
    this.#control.push(piece);
    if (isDone) this.oncontrol(this.#opcode, Buffer.concat(this.#control.splice(0)));
  }
}

export class NodeWebSocketTransport {
  #request;
  #socket = null;
  #events;
  #key = randomBytes(16).toString('base64');
  #failure = null;
  #isClosed = false;
  #isLeaving = false;

  constructor(url, options, events) {
    this.#events = events;
    const target = new URL(url);
    target.protocol = url.protocol === 'wss:' ? 'https:' : 'http:';
    this.#request = (url.protocol === 'wss:' ? https : http).request(target, {
      ...options.tls,
      agent: false,
      headers: {
        Connection: 'Upgrade',
        Upgrade: 'websocket',
        'Sec-WebSocket-Version': '13',
        'Sec-WebSocket-Key': this.#key,
        'Sec-WebSocket-Protocol': SUBPROTOCOL,
      },
    });
    this.#request.on('upgrade', (response, socket, head) => this.#upgraded(response, socket, head));
    this.#request.on('response', response => this.#fail(`the broker answered ${response.statusCode}, not a WebSocket`));
    this.#request.on('error', error => this.#fail(error.message || error.code, error));
    this.#request.end();
  }

  get buffered() {
    return this.#socket?.writableLength ?? 0;
  }

  send(bytes) {
    if (!this.#isLeaving) this.#socket.write(clientFrame(OPCODE.BINARY, bytes));
  }

  close() {
    if (!this.#socket) this.abort();
    else this.#leave(Buffer.from([0x03, 0xe8])); /* 1000 */
  }

  abort() {
    this.#request.destroy();
    this.#socket?.destroy();
    this.#closed();
  }

  /* Our close frame; the broker's answer, or its end of the connection, does the rest. */
  #leave(code) {
    if (this.#isLeaving) return;
    this.#isLeaving = true;
    this.#socket.write(clientFrame(OPCODE.CLOSE, code));
  }

  #upgraded({ headers }, socket, head) {
    const accept = createHash('sha1').update(this.#key + ACCEPT_SALT).digest('base64');
    if (headers['sec-websocket-accept'] !== accept || headers['sec-websocket-protocol'] !== SUBPROTOCOL) {
      socket.destroy();
      this.#fail(`the server does not speak ${SUBPROTOCOL}`);
      return;
    }
    this.#socket = socket;
    const frames = new ServerFrames({
      ondata: bytes => this.#events.data(bytes),
      oncontrol: (opcode, bytes) => this.#control(opcode, bytes),
    });
    socket.setNoDelay(true);
    socket.setTimeout(0);
    socket.on('data', bytes => this.#read(frames, bytes));
    socket.on('drain', () => this.#events.drain());
    socket.on('error', error => {
      this.#failure ??= new SluiceError('io_error', error.message || error.code, { cause: error });
    });
    socket.on('close', () => this.#closed());
    this.#events.open();
    if (head.length > 0) this.#read(frames, head);
  }

  #read(frames, bytes) {
    if (this.#isClosed) return;
    try {
      frames.push(bytes);
    } catch (error) {
      this.#failure = error;
      this.abort();
    }
  }

  #control(opcode, bytes) {
    if (opcode === OPCODE.PING && !this.#isLeaving) this.#socket.write(clientFrame(OPCODE.PONG, bytes));
    if (opcode !== OPCODE.CLOSE) return;
    this.#leave(bytes.subarray(0, 2));
    this.#socket.end();
  }

  #fail(text, cause) {
    this.#failure ??= new SluiceError('io_error', text, { cause });
    this.abort();
  }

  #closed() {
    if (this.#isClosed) return;
    this.#isClosed = true;
    this.#events.closed(this.#failure);
  }
}
