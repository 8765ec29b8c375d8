/** @file config.json and generation_config.json, as transformers, optimum and transformers.js look for them. */
import { join } from 'node:path';
import { z } from 'zod';
import { boundaryTokens } from '../../checkpoint/boundary-tokens.js';
import type { Checkpoint } from '../../checkpoint/checkpoint.js';
import type { Tokenizer } from '../../checkpoint/tokenizer.js';
import { parseJson, readIfPresent } from '../../checkpoint/tokenizer-config.js';
import type { DecoderMapping } from '../../model/mapping.js';
import type { Activation, DecoderSpec } from '../../model/spec.js';

/** By family: `model_type` and class of transformers. */
const TYPES: Readonly<Record<string, readonly [type: string, architecture: string]>> = {
  llama: ['llama', 'LlamaForCausalLM'],
  smollm3: ['smollm3', 'SmolLM3ForCausalLM'],
  qwen2: ['qwen2', 'Qwen2ForCausalLM'],
  qwen3: ['qwen3', 'Qwen3ForCausalLM'],
  'qwen3-moe': ['qwen3_moe', 'Qwen3MoeForCausalLM'],
  gemma2: ['gemma2', 'Gemma2ForCausalLM'],
  gemma3: ['gemma3_text', 'Gemma3ForCausalLM'],
  'gpt-oss': ['gpt_oss', 'GptOssForCausalLM'],
  llama4: ['llama4_text', 'Llama4ForCausalLM'],
};

const ACTIVATIONS: Readonly<Record<Activation, string>> = { silu: 'silu', gelu: 'gelu', 'gelu-tanh': 'gelu_pytorch_tanh' };

/** What config.json is to say: what the checkpoint's own says, if it has one. */
export function hubConfig(checkpoint: Checkpoint, mapping: DecoderMapping, tokenizer: Tokenizer): Record<string, unknown> {
  const [type, architecture] = TYPES[mapping.family] ?? [];
  const { metadata } = checkpoint;
  const own =
    checkpoint.format === 'gguf'
      ? configOf(mapping.spec, tokenizer)
      : ((metadata.text_config as Record<string, unknown> | undefined) ?? metadata);
  return {
    ...own,
    // Of a model that reads images too, the part that writes.
    ...(own !== metadata && { model_type: type, architectures: [architecture] }),
    'transformers.js_config': { dtype: 'fp32', use_external_data_format: { 'model.onnx': 1 } },
  };
}

/** What loaders of a graph ask for; the graph itself says the rest. */
function configOf(spec: DecoderSpec, tokenizer: Tokenizer): Record<string, unknown> {
  const { attention, mlp, ropes, blocks } = spec;
  const window = blocks.find((block) => block.window !== null)?.window;
  const id = (name: string, value: number | undefined) => value !== undefined && { [`${name}_token_id`]: value };
  return {
    vocab_size: spec.vocabulary,
    hidden_size: spec.hidden,
    intermediate_size: mlp.width,
    num_hidden_layers: spec.layers,
    num_attention_heads: attention.heads,
    num_key_value_heads: attention.kvHeads,
    head_dim: attention.headDim,
    max_position_embeddings: spec.context,
    rms_norm_eps: spec.norm.epsilon,
    hidden_act: ACTIVATIONS[mlp.activation],
    hidden_activation: ACTIVATIONS[mlp.activation],
    tie_word_embeddings: spec.tiedEmbedding,
    ...(ropes.global && { rope_theta: ropes.global.theta }),
    ...(ropes.local && { rope_local_base_freq: ropes.local.theta }),
    ...(window && { sliding_window: window }),
    ...(window && { layer_types: blocks.map((block) => (block.window === null ? 'full_attention' : 'sliding_attention')) }),
    ...id('bos', tokenizer.bosId),
    ...id('eos', tokenizer.eosId),
    ...id('pad', tokenizer.padId ?? tokenizer.eosId),
  };
}

/** @returns generation_config.json: the checkpoint's own, or the tokens that begin and end a text */
export async function generationConfig(checkpoint: Checkpoint, tokenizer: Tokenizer): Promise<Record<string, unknown>> {
  const path = join(checkpoint.path, 'generation_config.json');
  const found = checkpoint.format === 'safetensors' ? await readIfPresent(path) : undefined;
  if (found !== undefined) return parseJson(z.looseObject({}), found, path);
  const { ends } = await boundaryTokens(checkpoint, tokenizer);
  return {
    ...(tokenizer.bosId !== undefined && { bos_token_id: tokenizer.bosId }),
    ...(ends.length > 0 && { eos_token_id: ends.length === 1 ? ends[0] : ends }),
    ...(tokenizer.padId !== undefined || ends.length > 0 ? { pad_token_id: tokenizer.padId ?? ends[0] } : {}),
  };
}
