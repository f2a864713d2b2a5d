import { readFile } from 'node:fs/promises';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import type { ScorableEvent } from '../services/detectors/detector.ts';
import { createDetector, DETECTOR_NAMES, loadDetector } from '../services/detectors/registry.ts';
import { type BenchCase, measure } from './report.ts';

const EVENTS = 2_000_000;
const SOURCES = 1_000;
const ROUNDS = 5;
const BATCH = 500;
const MANY_SOURCES = 1_000_000;

/** Each detector on one core: time of a record and of a state's way to bytes and back, bytes of a source, a million sources. */
export async function benchDetectors(only: string): Promise<BenchCase[]> {
  const cases: BenchCase[] = [];
  const add = async (name: string, events: number, work: () => Promise<void> | void, figures = {}) => {
    if (name.includes(only)) cases.push({ ...(await best(name, events, work)), ...figures });
  };
  const at = makeEvents(SOURCES);

  for (const name of DETECTOR_NAMES) {
    const detector = createDetector(name);
    const states = Array.from({ length: SOURCES }, () => detector.initial());
    const stateBytes = detector.encode(detector.initial()).length;
    let n = 0;
    const score = () => {
      for (const end = n + EVENTS; n < end; n++) detector.score(states[n % SOURCES], at(n));
    };
    await add(name, EVENTS, score, { stateBytes });
    if (detector.stateless) continue;
    const version = detector.stateVersion;
    await add(`${name}: encode and decode a state`, 20_000, () => {
      for (let i = 0; i < 20_000; i++) {
        states[i % SOURCES] = detector.decode(detector.encode(states[i % SOURCES]), version);
      }
    });
  }

  const parameters = { onnx: { model: 'services/detectors/onnx/tiny.onnx' } };
  const onnx = await loadDetector('onnx', parameters, { readModel: (path) => readFile(path) });
  const states = Array.from({ length: SOURCES }, () => onnx.initial());
  const stateBytes = onnx.encode(onnx.initial()).length;
  const scoreBatches = async () => {
    for (let n = 0; n < EVENTS / 10; n += BATCH) {
      await onnx.scoreBatch(
        Array.from({ length: BATCH }, (_, i) => ({
          state: states[(n + i) % SOURCES],
          event: { ...at(n + i) },
        })),
      );
    }
  };
  await add(`onnx (tiny.onnx, batches of ${BATCH})`, EVENTS / 10, scoreBatches, { stateBytes });
  if ('a million sources'.includes(only)) cases.push(await aMillionSources());
  return cases;
}

/** Resident memory of `adaptive` with as many sources, each with two records; a round robin is the worst case for caches. */
async function aMillionSources(): Promise<BenchCase> {
  setFlagsFromString('--expose-gc');
  const collect = runInNewContext('gc') as () => void;
  const detector = createDetector('adaptive');
  const at = makeEvents(MANY_SOURCES);
  collect();
  const before = process.memoryUsage.rss();
  const states: unknown[] = [];
  for (let n = 0; n < MANY_SOURCES; n++) states.push(detector.initial());
  const result = await measure('adaptive: a million sources in turn', 2 * MANY_SOURCES, () => {
    for (let n = 0; n < 2 * MANY_SOURCES; n++) {
      detector.score(states[n % MANY_SOURCES], at(n));
    }
  });
  collect();
  const residentBytes = process.memoryUsage.rss() - before;
  return {
    ...result,
    microsPerCall: result.cpuSecondsPer10k * 100,
    residentBytes,
    sourceBytes: residentBytes / states.length,
  };
}

/** The round with the least CPU time: the first ones compile, and what others do on the machine only ever adds. */
async function best(name: string, events: number, work: () => Promise<void> | void): Promise<BenchCase> {
  const rounds: BenchCase[] = [];
  for (let round = 0; round < ROUNDS; round++) rounds.push(await measure(name, events, work));
  const [least] = rounds.sort((a, b) => a.cpuSecondsPer10k - b.cpuSecondsPer10k) as [BenchCase];
  return { ...least, microsPerCall: least.cpuSecondsPer10k * 100 };
}

/**
 * Events of a source each in turn, a record in five minutes for each: a day's swing, noise, and one in 500 far out.
 * `set` changes the one event in place, so that making it costs next to nothing.
 */
function makeEvents(sources: number) {
  const amounts = Float64Array.from({ length: 65_536 }, (_, n) => {
    const noise = ((n * 7_919) % 1_009) / 100;
    return 100 + noise + (n % 500 === 77 ? 400 : 0);
  });
  const swing = Float64Array.from({ length: 288 }, (_, n) => 20 * Math.sin((n / 288) * 2 * Math.PI));
  const event: ScorableEvent = { source: 'sensor', amount: 0, timestamp: 0 };
  return (n: number): ScorableEvent => {
    const turn = Math.floor(n / sources);
    event.amount = (amounts[n & 0xffff] ?? 0) + (swing[turn % 288] ?? 0);
    event.timestamp = 1_790_000_000_000 + turn * 300_000;
    return event;
  };
}
