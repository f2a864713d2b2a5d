import type { Comparison } from '../../controller/scaling/simulator/compare.ts';
import type { Outcome, Sample } from '../../controller/scaling/simulator/simulate.ts';
import type { ScalingSpec } from '../../controller/scaling/spec.ts';

const WIDTH = 900;
const HEIGHT = 130;
const LEFT = 60;
/** Told apart by people with any colour vision (Okabe and Ito), and by dashes. */
const STYLES = [
  ['#0072b2', ''],
  ['#56b4e9', '6 3'],
  ['#e69f00', '1 2'],
  ['#d55e00', ''],
  ['#cc79a7', '2 2'],
  ['#009e73', '8 3 2 3'],
  ['#888888', '4 4'],
] as const;

/** One page with plots of all comparisons; it needs nothing from outside. */
export function page(comparisons: readonly Comparison[], { objective }: ScalingSpec): string {
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>weir simulate</title>
<style>
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif }
body { max-width: 960px; margin: 2rem auto; padding: 0 1rem }
svg { width: 100%; height: auto; display: block }
text { font: 11px system-ui, sans-serif; fill: currentColor }
.axis { stroke: currentColor; opacity: .3 }
.line { fill: none; stroke-width: 1.6 }
table { border-collapse: collapse; margin: .5rem 0 2rem }
th, td { padding: .15rem .8rem .15rem 0; text-align: right; font-variant-numeric: tabular-nums }
th:first-child, td:first-child { text-align: left }
.key { display: inline-block; width: 2.2rem; height: .7rem; margin-right: .5rem }
</style>
<h1>weir simulate</h1>
<p>Objective: at most ${objective.maxLagSeconds} s behind, backlogs worked off in ${objective.catchUpSeconds} s, pods used to ${Math.round(objective.utilization * 100)} %.
Age is that of the oldest event which is not processed, from when it was sent.</p>
${comparisons.map((comparison) => section(comparison, objective.maxLagSeconds)).join('\n')}
</html>
`;
}

function section({ trace, outcomes, optimum }: Comparison, objective: number): string {
  const offered = outcomes[0] ? [line(outcomes[0], 0, ({ offered }) => offered)] : [];
  const each = (of: (sample: Sample) => number) => outcomes.map((outcome, i) => line(outcome, i, of));
  return `<section>
<h2>${escapeHtml(trace.name)}</h2>
<p>${escapeHtml(trace.description)}</p>
${table(outcomes, optimum?.dollars)}
${chart('records/s sent', trace.seconds, offered)}
${chart(
  'age, s',
  trace.seconds,
  each(({ ageSeconds }) => ageSeconds),
  objective,
)}
${chart(
  'replicas',
  trace.seconds,
  each(({ replicas }) => replicas),
)}
${chart(
  'shards',
  trace.seconds,
  each(({ shards }) => shards),
)}
</section>`;
}

interface Line {
  name: string;
  style: (typeof STYLES)[number];
  points: { t: number; value: number }[];
}

function line({ policy, samples }: Outcome, index: number, of: (sample: Sample) => number): Line {
  const style = STYLES[index % STYLES.length] ?? STYLES[0];
  return { name: policy, style, points: samples.map((sample) => ({ t: sample.t, value: of(sample) })) };
}

function chart(title: string, seconds: number, lines: readonly Line[], mark?: number): string {
  const top =
    Math.max(1, mark ?? 0, ...lines.flatMap(({ points }) => points.map(({ value }) => value))) * 1.05;
  const x = (t: number) => (LEFT + ((WIDTH - LEFT) * t) / seconds).toFixed(1);
  const y = (value: number) => (HEIGHT - 18 - ((HEIGHT - 32) * value) / top).toFixed(1);
  const paths = lines.map(({ name, style: [colour, dash], points }) => {
    const steps = points
      .map(({ t, value }, i) => (i === 0 ? `M${x(t)} ${y(value)}` : `H${x(t)}V${y(value)}`))
      .join('');
    return `<path class="line" d="${steps}" stroke="${colour}"${dash ? ` stroke-dasharray="${dash}"` : ''}><title>${escapeHtml(name)}</title></path>`;
  });
  const hours = seconds / 3600;
  const every = hours > 12 ? 4 : hours > 4 ? 1 : 0.5;
  const ticks = Array.from({ length: Math.floor(hours / every) + 1 }, (_, i) => i * every).map(
    (hour) => `<text x="${x(hour * 3600)}" y="${HEIGHT - 4}" text-anchor="middle">${hour} h</text>`,
  );
  const limit =
    mark === undefined
      ? ''
      : `<line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="${y(mark)}" y2="${y(mark)}" stroke-dasharray="3 3"/>`;
  return `<svg viewBox="0 0 ${WIDTH} ${HEIGHT}" role="img" aria-label="${escapeHtml(title)} over time">
<text x="0" y="12">${escapeHtml(title)}</text>
<text x="${LEFT - 6}" y="${Number(y(top / 1.05)) + 4}" text-anchor="end">${Math.round(top / 1.05).toLocaleString('en-US')}</text>
<text x="${LEFT - 6}" y="${y(0)}" text-anchor="end">0</text>
<line class="axis" x1="${LEFT}" x2="${WIDTH}" y1="${y(0)}" y2="${y(0)}"/>${limit}
${paths.join('\n')}
${ticks.join('')}
</svg>`;
}

function table(outcomes: readonly Outcome[], optimum: number | undefined): string {
  const rows = outcomes.map((one, i) => {
    const [colour] = STYLES[i % STYLES.length] ?? STYLES[0];
    const percent = optimum ? `${Math.round((one.dollars / optimum) * 100)} %` : '';
    const cells = [
      one.violationSeconds,
      Math.round(one.worstLagSeconds),
      one.podHours.toFixed(1),
      one.shardHours.toFixed(1),
      one.dollars.toFixed(2),
      percent,
      one.reshards,
      one.flaps,
    ];
    return `<tr><td><span class="key" style="background:${colour}"></span>${escapeHtml(one.policy)}</td>${cells.map((cell) => `<td>${cell}</td>`).join('')}</tr>`;
  });
  const header = [
    'policy',
    's over',
    'worst lag s',
    'pod h',
    'shard h',
    'USD',
    'of optimum',
    'reshards',
    'flaps',
  ];
  return `<table><tr>${header.map((title) => `<th>${title}</th>`).join('')}</tr>${rows.join('\n')}</table>`;
}

function escapeHtml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;');
}
