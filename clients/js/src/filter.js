/*
 * Topic filters: `+` is one level, `#` the rest and only last, topics that start with `$` are not matched by a
 * leading wildcard; $share/GROUP/FILTER matches what FILTER does. Pure; both arguments are taken to be valid.
 */

function withoutGroup(filter) {
  return filter.startsWith('$share/') ? filter.slice(filter.indexOf('/', '$share/'.length) + 1) : filter;
}

export function filterMatches(filter, topic) {
  const want = withoutGroup(filter).split('/');
  const have = topic.split('/');
  if (topic.startsWith('$') && (want[0] === '+' || want[0] === '#')) return false;
  for (let i = 0; i < want.length; i += 1) {
    if (want[i] === '#') return true; /* "a/#" also matches "a" */
    if (i >= have.length || (want[i] !== '+' && want[i] !== have[i])) return false;
  }
  return want.length === have.length;
}
