/* Time as the client sees it, so that tests can bring their own. Milliseconds that never go back. */
export const CLOCK = {
  now: () => performance.now(),
  setTimeout: (run, ms) => setTimeout(run, ms),
  clearTimeout: timer => clearTimeout(timer),
};
