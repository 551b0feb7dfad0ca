/** Client for the Sluice broker, protocol `sluice.v1`. Browsers and Node 18 or later. */

/** Strings and bytes are sent as they are, `undefined` as nothing, everything else as JSON. */
export type Payload = string | Uint8Array | ArrayBuffer | ArrayBufferView | object | number | boolean | null | undefined;

export interface ReconnectOptions {
  /** Ceiling of the first wait, in ms; it doubles with each failure. Default 100. */
  initialMs?: number;
  /** Ceiling of every wait. Default 20,000. */
  maxMs?: number;
  /** Failures in a row after which the client gives up. Default: none. */
  maxAttempts?: number;
}

/** Time as the client sees it, for tests. */
export interface Clock {
  /** Milliseconds that never go back. */
  now(): number;
  setTimeout(run: () => void, ms: number): unknown;
  clearTimeout(timer: unknown): void;
}

export interface ClientOptions {
  /** What this program is, for the broker's log. */
  client?: string;
  user?: string;
  password?: string;
  token?: string;
  /** Seconds after which a silent other side counts as dead; 0: never. Default: what the broker suggests. */
  keepaliveS?: number;
  /** `false`: the first loss of the connection closes the client. */
  reconnect?: ReconnectOptions | false;
  /** From opening a connection to WELCOME. Default 10,000. */
  connectTimeoutMs?: number;
  /** Publishes that may wait for a connection, or for room on it. Default 10,000. */
  maxPendingPublishes?: number;
  /** The same in bytes. Default 8 MiB. */
  maxPendingBytes?: number;
  /** Publishes wait while so many bytes are queued that the system has not taken. Default 1 MiB, at least 256 KiB. */
  highWaterBytes?: number;
  /** A WebSocket class as in browsers. Default: the global one, in older Nodes one that comes with this package. */
  WebSocket?: new (url: string, protocols?: string | string[]) => unknown;
  /** Options of node:tls for `tcps:` and `wss:` URLs in Node. */
  tls?: object;
  /** Source of numbers from 0 up to 1, for tests. Default Math.random. */
  random?: () => number;
  clock?: Clock;
}

/** `drop_oldest` unless the broker is configured otherwise; `block` only where a topic rule of the broker grants it. */
export type Policy = 'drop_oldest' | 'drop_newest' | 'conflate' | 'disconnect' | 'block';

export interface SubscribeOptions {
  /** What the broker does when this client reads too slowly. */
  policy?: Policy;
  /** Messages that the broker queues for this subscription. */
  queue?: number;
  /** At most so many messages per second and topic (or key), the newest; implies `conflate`. */
  maxHz?: number;
  /** Makes the subscription independent: it gets its own copy of what other filters match as well. */
  tag?: number;
  /** Messages kept here for the iterator. Default 1,024; beyond, the oldest goes and a gap is left. */
  buffer?: number;
  /** The same in bytes of payload. Default 16 MiB. */
  bufferBytes?: number;
}

export interface Granted {
  readonly policy?: Policy;
  readonly queue?: number;
  readonly maxHz?: number;
  readonly tag?: number;
  /** Retained values follow. */
  readonly retained?: true;
}

export type Headers = Iterable<readonly [string, string]> | Record<string, string>;

export interface PublishOptions {
  /** `false`: no answer is wanted, the promise resolves once the message is handed to the transport. */
  ack?: boolean;
  headers?: Headers;
  /** Milliseconds after which the broker no longer delivers it. */
  ttlMs?: number;
  /** What `conflate` and `maxHz` go by, in place of the topic. At most 255 bytes. */
  key?: string | Uint8Array;
  /** Topic for replies. A broker answers `no_responders` when nobody is subscribed to the topic. */
  reply?: string;
  /** At most 255 bytes. */
  correlation?: string | Uint8Array;
  contentType?: string;
  /** 1: the payload is UTF-8 text. */
  format?: 0 | 1;
  /** The message becomes its topic's value, which later subscribers get first; an empty payload clears it. */
  retain?: boolean;
  /** Rejects with `aborted` if it fires before the message was sent. */
  signal?: AbortSignal;
}

/** What the broker says of a publish; empty where topics are not numbered. */
export interface PublishResult {
  epoch?: string;
  offset?: number;
}

export interface RequestOptions extends Omit<PublishOptions, 'ack' | 'reply' | 'correlation' | 'signal'> {
  /** Default 5,000. */
  timeoutMs?: number;
}

export interface GapEvent {
  filter: string;
  count: number;
  /** `dropped_oldest`, `dropped_newest`, `conflated`, `max_hz`, `expired`; `client_buffer`: dropped by this client. */
  reason: string;
}

/** What is missing right before a message. */
export interface Gap {
  readonly count: number;
  readonly reasons: Readonly<Record<string, number>>;
  /** The connection was lost in between: an unknown number went by besides. */
  readonly reconnected: boolean;
}

export class Message {
  readonly topic: string;
  readonly payload: Uint8Array;
  readonly headers: ReadonlyArray<readonly [string, string]>;
  readonly key: string | Uint8Array | undefined;
  readonly reply: string | undefined;
  readonly correlation: Uint8Array | undefined;
  readonly contentType: string | undefined;
  readonly format: number | undefined;
  readonly ttlMs: number | undefined;
  /** When the broker took it, Unix milliseconds; there when `ttlMs` is, or `retained`. */
  readonly tsMs: number | undefined;
  /** The topic's value from before the subscription; false for what is live. */
  readonly retained: boolean;
  readonly gap: Gap | undefined;
  /** The payload as UTF-8. */
  text(): string;
  /** The payload as JSON; throws a SyntaxError when it is none. */
  json(): any;
  /** The first value of a header, whatever the case of its name. */
  header(name: string): string | undefined;
}

export class Subscription implements AsyncIterable<Message> {
  readonly filter: string;
  readonly tag: number | undefined;
  /** As of the latest connection; null before the first grant. */
  readonly granted: Granted | null;
  /** Resolves with the options granted first, null if it was left before; rejects when the broker refuses. */
  readonly ready: Promise<Granted | null>;
  /** Resolves when the retained values there were have been received; at once where there are none. */
  readonly live: Promise<void>;
  /** Messages that wait for the iterator. */
  readonly buffered: number;
  /** Resolves when the broker has confirmed. What is buffered can still be read. */
  unsubscribe(): Promise<void>;
  on(event: 'gap', listener: (gap: GapEvent) => void): () => void;
  off(event: 'gap', listener: (gap: GapEvent) => void): void;
  /** One reading position, however many iterators. Leaving the loop ends the subscription. */
  [Symbol.asyncIterator](): AsyncIterableIterator<Message>;
}

export type ClientState = 'connecting' | 'connected' | 'reconnecting' | 'closed';

export interface ServerInfo {
  readonly session: string;
  readonly server: string;
  readonly maxFrame: number;
  readonly maxPayload: number | undefined;
  readonly keepaliveS: number;
}

export interface StateEvent {
  state: ClientState;
  /** With `reconnecting`: when the next attempt begins. */
  retryInMs?: number;
  /** With `connecting` and `reconnecting`: failures in a row. */
  attempt?: number;
  /** With `reconnecting` and `closed`: why, unless it was close(). */
  error?: Error;
  /** With `connected`. */
  server?: ServerInfo;
}

export interface ByeEvent {
  code: string;
  text: string;
  reconnectAfterMs: number;
}

export interface BrokerEvent {
  kind: string;
  topic: string;
  data: Record<string, unknown>;
}

export interface ClientEvents {
  state: StateEvent;
  gap: GapEvent;
  bye: ByeEvent;
  /** An error that no call is told of: a subscription that was refused, an answer that could not be sent. */
  error: Error & { code?: string; filter?: string };
  event: BrokerEvent;
}

export class Client {
  /** Connects by itself, and goes on trying. Throws only for a URL that is none. */
  constructor(url: string, options?: ClientOptions);
  readonly state: ClientState;
  /** What the broker said of itself in its latest WELCOME. */
  readonly server: ServerInfo | null;
  /** Publishes that wait for a connection, or for room on it. */
  readonly pendingPublishes: number;
  /** Without a callback the messages are iterated. */
  subscribe(filter: string, options?: SubscribeOptions, callback?: (message: Message) => unknown): Subscription;
  subscribe(filter: string, callback: (message: Message) => unknown): Subscription;
  /** Resolves when the broker has taken it. Wait for it, or handle its rejection. */
  publish(topic: string, payload?: Payload, options?: PublishOptions): Promise<PublishResult>;
  /** Resolves with the first reply; rejects with `no_responders` at once where nobody is subscribed. */
  request(topic: string, payload?: Payload, options?: RequestOptions): Promise<Message>;
  /** Answers with what the handler returns. What it throws goes to the `error` event, and there is no answer. */
  respond(
    filter: string,
    handler: (message: Message) => Payload | Promise<Payload>,
    options?: SubscribeOptions,
  ): Subscription;
  /** Sends what is queued, waits for the answers (at most `timeoutMs`, default 2,000), and disconnects. */
  close(options?: { timeoutMs?: number }): Promise<void>;
  /** Returns a function that ends it. */
  on<E extends keyof ClientEvents>(event: E, listener: (detail: ClientEvents[E]) => void): () => void;
  off<E extends keyof ClientEvents>(event: E, listener: (detail: ClientEvents[E]) => void): void;
}

/** A client that is connected. Rejects when the first attempt fails; `new Client()` would go on trying. */
export function connect(url: string, options?: ClientOptions): Promise<Client>;

/**
 * `code` is stable: those of the broker, and closed, disconnected, limit_reached, timeout, io_error, protocol_error,
 * aborted, in_use.
 */
export class SluiceError extends Error {
  constructor(code: string, text: string, options?: { cause?: unknown });
  readonly name: 'SluiceError';
  readonly code: string;
}

/** Whether a topic matches a filter. */
export function filterMatches(filter: string, topic: string): boolean;

/** A value as a JSON payload. */
export function json(value: unknown): Uint8Array;
