/* Over TCP, with TLS for tcps. Node only; see transport.js for the contract. */
import net from 'node:net';
import tls from 'node:tls';
import { SluiceError } from './error.js';

const PORT = 7400;

/* Wires a socket of node:net to the events; `onready` is the event that says it can be used. */
export function wire(socket, onready, events) {
  let failure = null;
  socket.setNoDelay(true);
  socket.on(onready, () => events.open());
  socket.on('data', bytes => events.data(bytes));
  socket.on('drain', () => events.drain());
  socket.on('error', error => {
    failure = new SluiceError('io_error', error.message || error.code, { cause: error });
  });
  socket.on('close', () => events.closed(failure));
}

export class TcpTransport {
  #socket;

  constructor(url, options, events) {
    const host = url.hostname.replace(/^\[|\]$/g, '');
    const port = Number(url.port || PORT);
    const isSecure = url.protocol === 'tcps:';
    const servername = net.isIP(host) ? undefined : host;
    this.#socket = isSecure ? tls.connect({ host, port, servername, ...options.tls }) : net.connect({ host, port });
    wire(this.#socket, isSecure ? 'secureConnect' : 'connect', events);
  }

  get buffered() {
    return this.#socket.writableLength;
  }

  send(bytes) {
    this.#socket.write(bytes);
  }

  close() {
    this.#socket.end();
  }

  abort() {
    this.#socket.destroy();
  }
}
