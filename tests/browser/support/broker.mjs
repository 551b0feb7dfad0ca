/*
 * A real broker on ports of its own, serving the example pages; and the programs that the examples bring along.
 * SLUICED names another broker than build/broker/sluiced, SLUICE_EXAMPLES_BIN another folder than build/examples.
 * SLUICE_WWW is a web root as `./dev build` lays it out; without it one is put together from the sources, with
 * SLUICE_CLIENT in place of clients/js if that is set.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const ROOT = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const SLUICED = process.env.SLUICED ?? join(ROOT, 'build/broker/sluiced');
const PROGRAMS = process.env.SLUICE_EXAMPLES_BIN ?? join(ROOT, 'build/examples');
const WWW = process.env.SLUICE_WWW;
const CLIENT = process.env.SLUICE_CLIENT ?? join(ROOT, 'clients/js');
const READY_MS = 20_000;

export const REQUESTER_MJS = join(ROOT, 'examples/services/requester.mjs');

/* The layout that `./dev run` serves; whoever asked for it removes it. */
function stageWww() {
  if (WWW) return { path: WWW, remove: () => {} };
  const www = mkdtempSync(join(tmpdir(), 'sluice-www-'));
  const copy = (from, to) => cpSync(from, join(www, to), { recursive: true, dereference: true });
  for (const name of ['common', 'chat', 'dashboard', 'index.html']) copy(join(ROOT, 'examples', name), name);
  copy(join(CLIENT, 'src'), 'lib/sluice');
  copy(join(CLIENT, 'node_modules/@msgpack/msgpack/dist.esm'), 'lib/msgpack');
  return { path: www, remove: () => rmSync(www, { recursive: true, force: true }) };
}

/* The environment without the SLUICE_* settings of whoever runs the tests. */
function cleanEnvironment() {
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !name.startsWith('SLUICE')));
}

/* A test that fails halfway must not leave its programs running: they would keep the test runner waiting. */
const running = new Set();
process.on('exit', () => running.forEach(child => child.kill('SIGKILL')));

/* A child whose output is kept for the day that a test fails. */
class Program {
  output = '';

  constructor(path, args) {
    if (!existsSync(path)) throw new Error(`${path} is missing; build it first`);
    this.child = spawn(path, args, { env: cleanEnvironment(), stdio: ['ignore', 'pipe', 'pipe'] });
    running.add(this.child);
    this.exit = once(this.child, 'exit').finally(() => running.delete(this.child));
    this.exit.catch(() => {}); /* it could not be started: stop() says so */
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream.setEncoding('utf8').on('data', text => {
        this.output += text;
      });
    }
  }

  /* Resolves with the first line that matches. */
  async line(pattern, timeoutMs = READY_MS) {
    const lines = createInterface({ input: this.child.stdout });
    const late = setTimeout(() => lines.close(), timeoutMs);
    try {
      for await (const line of lines) if (pattern.test(line)) return line;
    } finally {
      clearTimeout(late);
    }
    throw new Error(`no line like ${pattern}; it said:\n${this.output}`);
  }

  /* Ends it and resolves with its exit code, or the signal that killed it. */
  async stop(signal = 'SIGTERM') {
    if (this.child.exitCode === null && this.child.signalCode === null) this.child.kill(signal);
    return this.result();
  }

  /* Waits until it ends by itself; kills what does not. */
  async result() {
    const late = setTimeout(() => this.child.kill('SIGKILL'), READY_MS);
    const [code, killedBy] = await this.exit;
    clearTimeout(late);
    return killedBy ?? code;
  }
}

export class Broker {
  /* Starts on ports of the kernel's choosing, or on the ones it had. */
  async start(www) {
    this.www = www ?? this.www;
    const listen = [this.tcpUrl ?? 'tcp://127.0.0.1:0', this.wsUrl ?? 'ws://127.0.0.1:0'];
    this.program = new Program(SLUICED, [
      ...listen.flatMap(url => ['--listen', url]), '--set', `http.root=${this.www.path}`,
    ]);
    await this.program.line(/^ready$/);
    this.tcpUrl = /^listening (tcp:\S+)/m.exec(this.program.output)[1].replace(/\/$/, '');
    this.wsUrl = /^listening (ws:\S+)/m.exec(this.program.output)[1].replace(/\/$/, '');
    this.httpUrl = this.wsUrl.replace(/^ws/, 'http');
    return this;
  }

  stop(signal) {
    return this.program.stop(signal);
  }

  /* After the test: whatever became of it, nothing is left behind. */
  async end() {
    await this.stop();
    this.www.remove();
  }

  /* Holds it as a hung machine would be held: connections stay, nothing is answered. */
  freeze() {
    this.program.child.kill('SIGSTOP');
  }
}

export async function startBroker() {
  return new Broker().start(stageWww());
}

/* One of the example programs; `path` as in "dashboard/feeder". */
export function startExample(path, ...args) {
  return new Program(join(PROGRAMS, path), args);
}

export function runNode(script, ...args) {
  return new Program(process.execPath, [script, ...args]);
}
