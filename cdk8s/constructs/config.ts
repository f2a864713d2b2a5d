import { k8s } from 'cdk8s-plus-27';
import { Construct } from 'constructs';
import { type EnvOf, type EnvShape, parseEnv } from '../../services/shared/config.ts';
import { ConfigError } from '../../services/shared/errors.ts';
import { hashedName } from './hashed-name.ts';

/** The environment variables of a service as an immutable ConfigMap, whose name ends in a hash of its content. */
export class Config<S extends EnvShape> extends Construct {
  readonly name: string;
  /** As the service will read it, with its defaults. */
  readonly values: EnvOf<S>;

  /**
   * @param shape the variables that the service declares in its `config.ts`.
   * @throws ConfigError for a variable that the service doesn't declare, or a value that it would refuse.
   */
  constructor(
    scope: Construct,
    id: string,
    {
      name,
      namespace,
      shape,
      data,
    }: { name: string; namespace: string; shape: S; data: Readonly<Record<string, string>> },
  ) {
    super(scope, id);
    const unknown = Object.keys(data).filter((variable) => !(variable in shape));
    if (unknown.length > 0) throw new ConfigError(`${name}: no such variable: ${unknown.join(', ')}`);
    this.values = parseEnv(shape, data);
    const sorted = Object.fromEntries(Object.entries(data).sort(([a], [b]) => (a < b ? -1 : 1)));
    this.name = hashedName(name, JSON.stringify(sorted));
    new k8s.KubeConfigMap(this, 'ConfigMap', {
      metadata: { name: this.name, namespace },
      immutable: true,
      data: sorted,
    });
  }
}
