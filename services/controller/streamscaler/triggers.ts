import { PAUSED_ANNOTATION, type StreamScaler } from '../../../cdk8s/crd/stream-scaler.ts';
import { keyOf, type Store } from '../runtime/cache/store.ts';
import type { WorkQueue } from '../runtime/work-queue.ts';

/**
 * Queues a StreamScaler when somebody changed it: its spec, its pause, its being there. Not for its status: that is our own
 * writing, and would keep us busy with ourselves. A resync queues all that have no turn coming.
 */
export function enqueueChanges(store: Store<StreamScaler>, queue: WorkQueue): void {
  store.subscribe({
    onAdd: (scaler) => queue.add(keyOf(scaler)),
    onUpdate: (before, after) => {
      if (before === after) queue.addAfter(keyOf(after), RESYNC_SPREAD_MS);
      else if (differs(before, after)) queue.add(keyOf(after));
    },
    onDelete: (scaler) => queue.add(keyOf(scaler)),
  });
}

/** Longer than any turn is away: whoever has one keeps it. */
const RESYNC_SPREAD_MS = 30_000;

function differs(before: StreamScaler, after: StreamScaler): boolean {
  return (
    before.metadata.generation !== after.metadata.generation ||
    before.metadata.deletionTimestamp !== after.metadata.deletionTimestamp ||
    before.metadata.annotations?.[PAUSED_ANNOTATION] !== after.metadata.annotations?.[PAUSED_ANNOTATION]
  );
}
