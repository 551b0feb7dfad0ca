/* One message as a subscription hands it out. `payload` is the message's own memory. */

const utf8 = new TextDecoder();
const NO_HEADERS = Object.freeze([]);

export class Message {
  /* `meta` as of readMeta(), or undefined. */
  constructor(topic, payload, meta) {
    this.topic = topic;
    this.payload = payload;
    this.headers = meta?.headers ?? NO_HEADERS;
    this.key = meta?.key;
    this.reply = meta?.reply;
    this.correlation = meta?.correlation;
    this.contentType = meta?.contentType;
    this.format = meta?.format;
    this.ttlMs = meta?.ttlMs;
    this.tsMs = meta?.tsMs;
    this.retained = meta?.retained === true; /* the topic's value from before, not live */
    this.gap = undefined; /* what is missing right before this message; see Gap */
  }

  /* The payload as UTF-8; what is not, becomes U+FFFD. */
  text() {
    return utf8.decode(this.payload);
  }

  json() {
    return JSON.parse(this.text());
  }

  /* The first value of a header, whatever the case of its name. */
  header(name) {
    const wanted = name.toLowerCase();
    return this.headers.find(([other]) => other.toLowerCase() === wanted)?.[1];
  }
}
