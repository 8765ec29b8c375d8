import { MoralscopeError } from '../errors.js';
import type { GraphTensor } from '../graph/session.js';
import type { CompiledDecoder } from './compiled-decoder.js';
import {
  type Intervention,
  type InterventionShape,
  idleIntervention,
  interventionTensors,
  type Positions,
  requireStrength,
  sameShapes,
  shapeOf,
} from './intervention.js';
import type { Separation, TokenRows } from './token-rows.js';

/**
 * What a run does to the states of a decoder that was compiled with interventions.
 *
 * @example
 * const session = await model.session({ sites: [], logits: 'last', interventions: interventions.map(shapeOf) });
 * const { logits } = await session.run(batch, { steering: { interventions, strength: 0.5 } });
 */
export interface Steering {
  /** Of the shapes compiled, in their order. */
  readonly interventions: readonly Intervention[];
  /** Of all texts, or one a text. At 0 nothing is changed. */
  readonly strength: number | Float32Array;
}

/** Whether a run's tokens are of the prompt or were generated. */
export type Stage = 'prompt' | 'generated';

/**
 * @throws MoralscopeError `misuse` for interventions of other shapes than those compiled, or tensors, positions or a strength that make no
 * sense of them; RangeError for another number of strengths than there are texts
 */
export function checkSteering({ interventions, strength }: Steering, compiled: CompiledDecoder, texts: number): void {
  const shapes = interventions.map(shapeOf);
  if (!sameShapes(shapes, compiled.interventions))
    throw new MoralscopeError(
      'misuse',
      `The model was opened for ${describe(compiled.interventions)}, and is given ${describe(shapes)}.`,
      'Open it for interventions of the same sites and modes, in the same order.',
    );
  if (typeof strength !== 'number' && strength.length !== texts)
    throw new RangeError(`${strength.length} strengths for ${texts} texts`);
  for (const intervention of interventions) {
    interventionTensors(intervention, compiled.hidden);
    for (const each of new Set(typeof strength === 'number' ? [strength] : strength))
      requireStrength(each, intervention.change.mode);
  }
}

function describe(shapes: readonly InterventionShape[]): string {
  const each = ({ site, mode, thresholds, gate }: InterventionShape) =>
    `${mode}${thresholds ? ' with thresholds' : gate === 'relu' ? ' with a ReLU' : ''} at ${site}`;
  return shapes.map(each).join(', ') || 'no intervention';
}

/** Which tokens must not share rows though their texts begin alike: those that are not steered alike. */
export function separation({ interventions, strength }: Steering): Separation {
  const strengths = typeof strength === 'number' ? [strength] : [...strength];
  const distinct = [...new Set(strengths)];
  return {
    ...(distinct.length > 1 && { groups: strengths.map((each) => distinct.indexOf(each)) }),
    last: interventions.some(({ positions }) => positions === 'last') && strengths.some((each) => each !== 0),
  };
}

/** Makes the inputs of a graph that are numbers of interventions. */
export class SteeringInputs {
  private readonly hidden: number;
  /** For runs that an intervention leaves as they are. */
  private readonly idle: readonly Readonly<Record<string, GraphTensor>>[];

  constructor({ interventions, hidden }: CompiledDecoder) {
    this.hidden = hidden;
    this.idle = interventions.map((shape) => interventionTensors(idleIntervention(shape, hidden), hidden));
  }

  /**
   * @param steering default: every strength is 0
   * @param lengths tokens of each text of the batch that has these rows; 0 where none of them is the text's last
   */
  of(steering: Steering | undefined, rows: TokenRows, lengths: Int32Array, stage: Stage): Record<string, GraphTensor> {
    const inputs: Record<string, GraphTensor> = {};
    for (const [i, idle] of this.idle.entries()) {
      const intervention = steering?.interventions[i];
      const strengths = intervention
        ? strengthsOfRows(intervention.positions, steering.strength, rows, lengths, stage)
        : new Float32Array(rows.ids.length);
      const active = intervention && strengths.some((strength) => strength !== 0);
      const tensors = active ? interventionTensors(intervention, this.hidden) : idle;
      for (const [name, tensor] of Object.entries(tensors)) inputs[`interventions.${i}.${name}`] = tensor;
      inputs[`interventions.${i}.strength`] = { data: strengths, shape: [strengths.length, 1] };
    }
    return inputs;
  }
}

/** The strength for each row, 0 for texts' first tokens and where the intervention is not meant for the token. */
function strengthsOfRows(
  positions: Positions,
  strength: Steering['strength'],
  rows: TokenRows,
  lengths: Int32Array,
  stage: Stage,
): Float32Array {
  const length = rows.place.length / lengths.length;
  return Float32Array.from(rows.first, (at, row) => {
    const text = Math.floor(at / length);
    const meant = positions === 'last' ? at % length === lengths[text] - 1 : positions === 'all' || positions === stage;
    return meant && rows.positions[row] > 0 ? (typeof strength === 'number' ? strength : strength[text]) : 0;
  });
}
