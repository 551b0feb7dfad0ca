/* The package's face; index.d.ts says what each of these does. */
export { connect, Client } from './client.js';
export { SluiceError } from './error.js';
export { filterMatches } from './filter.js';
export { Message } from './message.js';
export { Subscription } from './subscription.js';

/* A value as a JSON payload. Strings and bytes are otherwise sent as they are. */
export function json(value) {
  return new TextEncoder().encode(JSON.stringify(value));
}
