/**
 * Loaded before a real consumer's own code (`--import`): at each SIGUSR2 its wall clock jumps by `WALL_CLOCK_JUMP_MS`, on and
 * back in turn. Its monotonic clock goes on as it is.
 */
const jumpMs = Number(process.env.WALL_CLOCK_JUMP_MS);
const now = Date.now;
let ahead = false;
Date.now = () => now() + (ahead ? jumpMs : 0);
process.on('SIGUSR2', () => {
  ahead = !ahead;
});
