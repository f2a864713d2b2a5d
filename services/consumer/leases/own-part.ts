import type { Lease } from '../../shared/kcl/lease-row.ts';
import { startable } from '../lineage/lineage.ts';
import { planMoves } from './balance.ts';
import type { GroupState, Member } from './group-view.ts';

/** The leases a worker runs, by key. */
interface Running {
  has(leaseKey: string): boolean;
}

/** What one worker does of the plan that all make for themselves. */
export interface OwnPart {
  /** Our share of the free leases, what nobody else came for, and what was handed to us. */
  take: Lease[];
  /** Those of our leases that are due to others. */
  give: { lease: Lease; to: Member }[];
  /** Free leases that are due to others. */
  leave: { lease: Lease; to: Member }[];
}

/** @param me id of this worker. */
export function ownPart(group: GroupState, me: string, running: Running): OwnPart {
  const { free, leftOver, members } = group;
  const leases = startable(group.leases);
  const part: OwnPart = { take: [], give: [], leave: [] };
  const due = new Set<Lease>();
  const staying = [...members.values()].filter(({ leaving }) => !leaving).map(({ workerId }) => workerId);
  for (const { lease, to } of planMoves({ leases, free, workers: new Set([...staying, me]) })) {
    const member = members.get(to);
    if (to === me) due.add(lease);
    else if (!member) continue;
    else if (free.has(lease)) part.leave.push({ lease, to: member });
    else if (lease.leaseOwner === me && running.has(lease.leaseKey) && member.proven)
      part.give.push({ lease, to: member });
  }
  part.take = leases.filter(
    (lease) =>
      // Still running here: our own, winding down after it was lost.
      !running.has(lease.leaseKey) &&
      (free.has(lease) ? due.has(lease) || leftOver.has(lease) : lease.leaseOwner === me),
  );
  return part;
}

/** Who gets each of our leases when this worker stops: of those that are surely alive the ones with fewest. */
export function succession(group: GroupState, me: string, running: Running): Map<string, Member> {
  const heirs = new Map(
    [...group.members].filter(([id, { proven, leaving }]) => proven && !leaving && id !== me),
  );
  const ours = new Set(group.leases.filter(({ leaseKey }) => running.has(leaseKey)));
  const leases = group.leases.filter((lease) => ours.has(lease) || heirs.has(lease.leaseOwner ?? ''));
  const successors = new Map<string, Member>();
  for (const { lease, to } of planMoves({
    leases: startable(leases),
    free: ours,
    workers: new Set(heirs.keys()),
  })) {
    const heir = heirs.get(to);
    if (heir && ours.has(lease)) successors.set(lease.leaseKey, heir);
  }
  return successors;
}
