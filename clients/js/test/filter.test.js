import { test } from 'node:test';
import assert from 'node:assert/strict';
import { filterMatches } from '../src/filter.js';

const MATCHING = [
  ['a/b', 'a/b'], ['+', 'a'], ['a/+', 'a/b'], ['a/+/c', 'a/b/c'], ['#', 'a/b/c'], ['a/#', 'a'], ['a/#', 'a/b/c'],
  ['+/+', '/a'], ['/+', '/a'], ['a/+', 'a/'], ['+/b/#', 'a/b'], ['$SYS/#', '$SYS/x'], ['$SYS/+', '$SYS/x'],
  ['a//b', 'a//b'], ['a/+/b', 'a//b'], ['$share/g/a/#', 'a/b'], ['$share/g/a', 'a'],
];
const NOT_MATCHING = [
  ['a/b', 'a'], ['a', 'a/b'], ['+', 'a/b'], ['+', '/a'], ['a/+', 'a'], ['a/+', 'a/b/c'], ['a/#', 'b'], ['a/#', 'ab'],
  ['#', '$SYS/x'], ['+/x', '$SYS/x'], ['A', 'a'], ['$share/g/a', '$share/g/a'], ['a/b/c', 'a/b'],
];

for (const [filter, topic] of MATCHING) {
  test(`${filter} matches ${topic}`, () => assert.equal(filterMatches(filter, topic), true));
}
for (const [filter, topic] of NOT_MATCHING) {
  test(`${filter} does not match ${topic}`, () => assert.equal(filterMatches(filter, topic), false));
}
