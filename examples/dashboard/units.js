/* Numbers as people read them, and the round numbers that scales end at. */

const STEPS = ['', 'k', 'M', 'G', 'T'];

function scaled(value, unit) {
  let step = 0;
  let rest = value;
  while (rest >= 999.5 && step < STEPS.length - 1) {
    rest /= 1000;
    step += 1;
  }
  const digits = step === 0 || rest >= 99.95 ? 0 : rest >= 9.995 ? 1 : 2;
  return `${rest.toFixed(digits)} ${STEPS[step]}${unit}`;
}

export const percent = value => `${value.toFixed(0)} %`;
export const bytes = value => scaled(value, 'B');
export const bytesPerSecond = value => scaled(value, 'B/s');
export const load = value => value.toFixed(2);

/* The smallest of 1, 2, 5, 10, 20, 50, ... that is not below `value`. */
export function roundUp(value) {
  const power = 10 ** Math.floor(Math.log10(value));
  const lead = value / power;
  if (lead <= 1) return power;
  return (lead <= 2 ? 2 : lead <= 5 ? 5 : 10) * power;
}
