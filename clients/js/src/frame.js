/*
 * Framing: every frame is preceded by its size, MessagePack's five-byte uint32, so that a stream can be cut without
 * being decoded. Pure: bytes in, frames out.
 *
 *   stream = *( 0xce size(4, big-endian) frame(size) )
 */
import { SluiceError } from './error.js';

export const SIZE_BYTES = 5;
const SIZE_MARK = 0xce;

/* The pair of size and frame, in memory of its own. */
export function pairOf(frame) {
  const pair = new Uint8Array(SIZE_BYTES + frame.length);
  pair[0] = SIZE_MARK;
  new DataView(pair.buffer).setUint32(1, frame.length);
  pair.set(frame, SIZE_BYTES);
  return pair;
}

export function join(parts, length) {
  const whole = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

/*
 * Cuts frames off a stream that may be split anywhere. Memory follows the bytes that came, never the size that was
 * announced. After it threw, the stream is lost and so is the reader.
 */
export class FrameReader {
  #parts = [];
  #held = 0;
  #need = 1; /* with fewer bytes than this there is nothing to look at */

  constructor(frameMax) {
    this.frameMax = frameMax;
  }

  /* Calls take(frame) for each whole frame, which borrows from `bytes`; the reader keeps a reference to `bytes`. */
  push(bytes, take) {
    this.#parts.push(bytes);
    this.#held += bytes.length;
    if (this.#held < this.#need) return;
    const input = this.#parts.length === 1 ? bytes : join(this.#parts, this.#held);
    let at = 0;
    while ((this.#need = this.#pairBytes(input, at)) <= input.length - at) {
      take(input.subarray(at + SIZE_BYTES, at + this.#need));
      at += this.#need;
    }
    this.#held = input.length - at;
    this.#parts = this.#held > 0 ? [input.subarray(at)] : [];
  }

  /* Bytes of the pair at `at`; as long as its size is not whole, how many it takes to know more. */
  #pairBytes(input, at) {
    if (input.length === at) return 1;
    if (input[at] !== SIZE_MARK) throw new SluiceError('protocol_error', 'not a sluice.v1 stream');
    if (input.length - at < SIZE_BYTES) return SIZE_BYTES;
    const size = ((input[at + 1] << 24) | (input[at + 2] << 16) | (input[at + 3] << 8) | input[at + 4]) >>> 0;
    if (size === 0) throw new SluiceError('protocol_error', 'an empty frame');
    if (size > this.frameMax) {
      throw new SluiceError('too_large', `a frame of ${size} bytes, ${this.frameMax} are allowed`);
    }
    return SIZE_BYTES + size;
  }
}
