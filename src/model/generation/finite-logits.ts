import { MoralscopeError } from '../../errors.js';

/**
 * The same number, which was found of logits and tells whether they make sense.
 * @throws MoralscopeError `bad-data` where it is not finite
 */
export function requireFinite(x: number): number {
  if (Number.isFinite(x)) return x;
  throw new MoralscopeError(
    'bad-data',
    'The model gave logits that are not finite numbers.',
    'Its weights are damaged, or its states are changed too strongly: try a smaller strength.',
  );
}
