import { WeirError } from '../../shared/errors.ts';

/** A file that the user named can't be used; the message says where it breaks. */
export class InputError extends WeirError {
  constructor(message: string, cause?: unknown) {
    super('input-invalid', message, { cause });
  }
}
