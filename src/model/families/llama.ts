import { z } from 'zod';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import { MoralscopeError } from '../../errors.js';
import type { DecoderMapping } from '../mapping.js';
import type { Parameter } from '../parameters.js';

/** Llama 2 and 3, SmolLM 1 and 2, and what else is built the same way. */
export function llama(checkpoint: Checkpoint): DecoderMapping {
  return checkpoint.format === 'gguf' ? fromGguf(checkpoint) : fromConfig(checkpoint);
}

const count = z.int().positive();
const Config = z.object({
  num_hidden_layers: count,
  hidden_size: count,
  intermediate_size: count,
  vocab_size: count,
  max_position_embeddings: count,
  num_attention_heads: count,
  num_key_value_heads: count.nullish(),
  head_dim: count.nullish(),
  rms_norm_eps: z.number().positive(),
  hidden_act: z.literal('silu').default('silu'),
  attention_bias: z.boolean().default(false),
  mlp_bias: z.boolean().default(false),
  tie_word_embeddings: z.boolean().default(false),
  rope_theta: z.number().positive().optional(),
  rope_scaling: z.object({ rope_type: z.string().optional(), type: z.string().optional() }).nullish(),
  rope_parameters: z.object({ rope_type: z.string().default('default'), rope_theta: z.number().positive().optional() }).nullish(),
});

function fromConfig(checkpoint: Checkpoint): DecoderMapping {
  const config = parse(Config, checkpoint);
  const { rope_scaling: scaling, rope_parameters: rope } = config;
  refuse(checkpoint, 'rope scaling', rope?.rope_type ?? scaling?.rope_type ?? scaling?.type ?? 'default', 'default');
  const heads = config.num_attention_heads;
  const headDim = config.head_dim ?? config.hidden_size / heads;
  return {
    family: 'llama',
    spec: {
      layers: config.num_hidden_layers,
      hidden: config.hidden_size,
      vocabulary: config.vocab_size,
      context: config.max_position_embeddings,
      norm: { kind: 'rms', epsilon: config.rms_norm_eps },
      attention: {
        heads,
        kvHeads: config.num_key_value_heads ?? heads,
        headDim,
        scale: headDim ** -0.5,
        qkvBias: config.attention_bias,
        outputBias: config.attention_bias,
      },
      rope: { theta: rope?.rope_theta ?? config.rope_theta ?? 10_000 },
      mlp: { width: config.intermediate_size, activation: 'silu', bias: config.mlp_bias },
      tiedEmbedding: config.tie_word_embeddings,
    },
    tensors: CONFIG_TENSORS,
    interleavedRotary: false,
  };
}

const Metadata = z.object({
  'llama.block_count': count,
  'llama.embedding_length': count,
  'llama.feed_forward_length': count,
  'llama.context_length': count,
  'llama.attention.head_count': count,
  'llama.attention.head_count_kv': count.optional(),
  'llama.attention.key_length': count.optional(),
  'llama.attention.layer_norm_rms_epsilon': z.number().positive(),
  'llama.rope.freq_base': z.number().positive().default(10_000),
  'llama.rope.dimension_count': count.optional(),
  'llama.rope.scaling.type': z.string().default('none'),
  'llama.expert_count': z.int().default(0),
});

function fromGguf(checkpoint: Checkpoint): DecoderMapping {
  const metadata = parse(Metadata, checkpoint);
  const { tensors } = checkpoint;
  const heads = metadata['llama.attention.head_count'];
  const hidden = metadata['llama.embedding_length'];
  const headDim = metadata['llama.attention.key_length'] ?? hidden / heads;
  refuse(checkpoint, 'rope scaling', metadata['llama.rope.scaling.type'], 'none');
  refuse(checkpoint, 'rope_freqs.weight', tensors.has('rope_freqs.weight'), false);
  refuse(checkpoint, 'number of experts', metadata['llama.expert_count'], 0);
  refuse(checkpoint, 'rotary dimension', metadata['llama.rope.dimension_count'] ?? headDim, headDim);
  return {
    family: 'llama',
    spec: {
      layers: metadata['llama.block_count'],
      hidden,
      vocabulary: tensors.info(GGUF_TENSORS.embedding).shape[0],
      context: metadata['llama.context_length'],
      norm: { kind: 'rms', epsilon: metadata['llama.attention.layer_norm_rms_epsilon'] },
      attention: {
        heads,
        kvHeads: metadata['llama.attention.head_count_kv'] ?? heads,
        headDim,
        scale: headDim ** -0.5,
        qkvBias: tensors.has('blk.0.attn_q.bias'),
        outputBias: tensors.has('blk.0.attn_output.bias'),
      },
      rope: { theta: metadata['llama.rope.freq_base'] },
      mlp: {
        width: metadata['llama.feed_forward_length'],
        activation: 'silu',
        bias: tensors.has('blk.0.ffn_gate.bias'),
      },
      tiedEmbedding: !tensors.has(GGUF_TENSORS.head),
    },
    tensors: GGUF_TENSORS,
    interleavedRotary: true,
  };
}

function parse<T extends z.ZodType>(schema: T, { metadata, path }: Checkpoint): z.infer<T> {
  const { data, error } = schema.safeParse(metadata);
  if (error)
    throw new MoralscopeError(
      'bad-file',
      `${path}: the model's configuration is not that of a llama: ${error.issues[0].path.join('.')}: ${error.issues[0].message}.`,
      'Fetch the model again, or choose another.',
    );
  return data;
}

/** Refuses what would change the numbers if it were ignored. */
function refuse<T>({ path }: Checkpoint, what: string, value: T, known: T): void {
  if (value === known) return;
  throw new MoralscopeError(
    'unsupported',
    `${path}: its ${what} is ${JSON.stringify(value)}; only ${JSON.stringify(known)} is known.`,
    'Choose another model.',
  );
}

const CONFIG_TENSORS = {
  embedding: 'model.embed_tokens.weight',
  finalNorm: 'model.norm.weight',
  head: 'lm_head.weight',
  attentionNorm: 'model.layers.{L}.input_layernorm.weight',
  query: 'model.layers.{L}.self_attn.q_proj.weight',
  key: 'model.layers.{L}.self_attn.k_proj.weight',
  value: 'model.layers.{L}.self_attn.v_proj.weight',
  queryBias: 'model.layers.{L}.self_attn.q_proj.bias',
  keyBias: 'model.layers.{L}.self_attn.k_proj.bias',
  valueBias: 'model.layers.{L}.self_attn.v_proj.bias',
  output: 'model.layers.{L}.self_attn.o_proj.weight',
  outputBias: 'model.layers.{L}.self_attn.o_proj.bias',
  mlpNorm: 'model.layers.{L}.post_attention_layernorm.weight',
  gate: 'model.layers.{L}.mlp.gate_proj.weight',
  up: 'model.layers.{L}.mlp.up_proj.weight',
  down: 'model.layers.{L}.mlp.down_proj.weight',
  gateBias: 'model.layers.{L}.mlp.gate_proj.bias',
  upBias: 'model.layers.{L}.mlp.up_proj.bias',
  downBias: 'model.layers.{L}.mlp.down_proj.bias',
} satisfies Record<Parameter, string>;

const GGUF_TENSORS = {
  embedding: 'token_embd.weight',
  finalNorm: 'output_norm.weight',
  head: 'output.weight',
  attentionNorm: 'blk.{L}.attn_norm.weight',
  query: 'blk.{L}.attn_q.weight',
  key: 'blk.{L}.attn_k.weight',
  value: 'blk.{L}.attn_v.weight',
  queryBias: 'blk.{L}.attn_q.bias',
  keyBias: 'blk.{L}.attn_k.bias',
  valueBias: 'blk.{L}.attn_v.bias',
  output: 'blk.{L}.attn_output.weight',
  outputBias: 'blk.{L}.attn_output.bias',
  mlpNorm: 'blk.{L}.ffn_norm.weight',
  gate: 'blk.{L}.ffn_gate.weight',
  up: 'blk.{L}.ffn_up.weight',
  down: 'blk.{L}.ffn_down.weight',
  gateBias: 'blk.{L}.ffn_gate.bias',
  upBias: 'blk.{L}.ffn_up.bias',
  downBias: 'blk.{L}.ffn_down.bias',
} satisfies Record<Parameter, string>;
