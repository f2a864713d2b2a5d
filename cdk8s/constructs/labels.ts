/** What runs in an environment's namespace. Each is a folder of `charts/<environment>/`. */
export type App = 'platform' | 'producer' | 'consumer' | 'controller' | 'console' | 'monitoring';

const PART_OF = 'app.kubernetes.io/part-of';
export const NAME = 'app.kubernetes.io/name';

/** On every object of Weir. */
export const PART_OF_WEIR = { [PART_OF]: 'weir' } as const;

/**
 * Labels of an app's objects, and the selector of its pods. Written out, never derived from the path of a construct:
 * a Deployment's selector can't be changed, so a refactoring that changes it would break every sync. Not
 * `app.kubernetes.io/instance`: Argo CD may claim that one for its tracking.
 */
export function labelsOf(app: App): Record<string, string> {
  return { [NAME]: app, ...PART_OF_WEIR };
}
