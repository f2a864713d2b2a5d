import { expect } from 'vitest';
import { ofType } from '../templates.ts';
import type { Promised } from './promised.ts';
import { onlyGitHub, singleActions } from './statements.ts';

/** The images' repositories, and who may push. */
export const REGISTRY_PROMISES: readonly Promised[] = [
  {
    says: 'images are scanned on push, their tags never move, they are encrypted',
    part: 'registry',
    check: (t) => {
      const repositories = ofType(t, 'AWS::ECR::Repository');
      expect(repositories.map((r) => r.Properties.RepositoryName)).toEqual([
        'weir/producer',
        'weir/consumer',
        'weir/controller',
      ]);
      for (const { Properties } of repositories)
        expect(Properties).toMatchObject({
          ImageScanningConfiguration: { ScanOnPush: true },
          ImageTagMutability: 'IMMUTABLE',
          EncryptionConfiguration: { EncryptionType: 'KMS' },
        });
    },
  },
  {
    says: 'the last 10 releases are kept, untagged images go after 7 days',
    part: 'registry',
    check: (t) => {
      for (const { Properties } of ofType(t, 'AWS::ECR::Repository')) {
        const { rules } = JSON.parse(Properties.LifecyclePolicy.LifecyclePolicyText);
        expect(rules.map((r: { selection: unknown }) => r.selection)).toEqual([
          { tagStatus: 'untagged', countType: 'sinceImagePushed', countNumber: 7, countUnit: 'days' },
          {
            tagStatus: 'tagged',
            tagPatternList: ['v*'],
            countType: 'imageCountMoreThan',
            countNumber: 10,
          },
        ]);
      }
    },
  },
  {
    says: 'who pushes images may do single actions on single repositories',
    part: 'registry',
    check: singleActions,
  },
  {
    says: "only workflows of the repository's image environment may push",
    part: 'registry',
    check: (t) => onlyGitHub(t, 'weir-images-push', 'repo:weir-dev/weir:environment:images'),
  },
];
