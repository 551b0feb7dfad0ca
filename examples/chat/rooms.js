/*
 * Room names and their topics. A name is what people type; its topic level is that name made safe: whatever could
 * mean something to a topic filter, or to a protocol that maps topics to its own subjects, is percent-encoded.
 * "Night shift / B+" lives at chat/night%20shift%20%2F%20b%2B/messages.
 */

export const NAME_MAX = 40;
export const DEFAULT_ROOMS = ['lobby', 'help', 'random'];

const UNSAFE = /[\u0000-\u0020\u007f%/+#.*>$]/g;
/* Control and direction characters: two names that look the same must be the same. The joiners of emoji and of
 * some scripts (U+200C, U+200D) stay. */
const INVISIBLE = /[\u0000-\u001f\u007f-\u009f\u200b\u200e\u200f\u202a-\u202e\u2060-\u2069]/g;

/* One spelling per room: case, runs of spaces and equivalent code points must not split it in two. */
export function normalizeRoom(name) {
  const wellFormed = new TextDecoder().decode(new TextEncoder().encode(name));
  const visible = wellFormed.replace(/\s/g, ' ').replace(INVISIBLE, '');
  return visible.replace(/ +/g, ' ').trim().toLowerCase().normalize('NFC');
}

/* What is wrong with a typed name, as a sentence, or '' if nothing is. */
export function roomProblem(name) {
  const room = normalizeRoom(name);
  if (room === '') return 'Enter a room name.';
  if ([...room].length > NAME_MAX) return `A room name has at most ${NAME_MAX} characters.`;
  return '';
}

export function roomLevel(room) {
  return room.replace(UNSAFE, c => `%${c.charCodeAt(0).toString(16).toUpperCase().padStart(2, '0')}`);
}

export function roomTopic(room) {
  return `chat/${roomLevel(room)}/messages`;
}
