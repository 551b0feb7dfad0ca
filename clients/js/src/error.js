/*
 * The one error class. `code` is stable and meant for programs, the message for people. Codes from the broker are
 * those of docs/protocol.md ("denied", "no_responders", ...); the client adds the ones below.
 *
 *   closed         the client was closed, or has given up for good (`cause` says why)
 *   disconnected   the connection ended before the answer: what was asked may or may not have happened
 *   limit_reached  a bound of this client (its options name it), or of the broker
 *   timeout        no reply, no WELCOME or no sign of life in time
 *   io_error       the connection could not be made, or broke
 *   protocol_error the other end does not speak sluice.v1
 *   aborted        the publish's signal fired before it was sent
 *   in_use         the filter or tag has a subscription that cannot be shared
 */
export class SluiceError extends Error {
  constructor(code, text, options) {
    super(text, options);
    this.name = 'SluiceError';
    this.code = code;
  }
}
