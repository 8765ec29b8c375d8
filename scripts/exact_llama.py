"""Llama models of transformers in double precision throughout.

Converted with .double() alone, transformers still computes its norms, rotary angles and (eager) softmax in float32, so that it
is no better a reference than 1e-7 a step. Import this before a model is made.
"""
import torch
from transformers.models.llama import modeling_llama as llama


def norm(self, x):
    return self.weight * (x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + self.variance_epsilon))


@torch.no_grad()
def rotary(self, x, position_ids):
    if x.dtype != torch.float64:
        return original_rotary(self, x, position_ids)
    parameters = self.config.rope_parameters
    assert parameters["rope_type"] == "default"
    dim = getattr(self.config, "head_dim", None) or self.config.hidden_size // self.config.num_attention_heads
    frequencies = parameters["rope_theta"] ** (-torch.arange(0, dim, 2, dtype=torch.float64) / dim)
    angles = position_ids[..., None].double() * frequencies
    angles = torch.cat((angles, angles), dim=-1)
    return angles.cos(), angles.sin()


original_norm = llama.LlamaRMSNorm.forward
original_rotary = llama.LlamaRotaryEmbedding.forward
llama.LlamaRMSNorm.forward = lambda self, x: (norm if x.dtype == torch.float64 else original_norm)(self, x)
llama.LlamaRotaryEmbedding.forward = rotary


@torch.no_grad()
def states(model, ids, lengths):
    """Per layer what attention and MLP add and the stream after the block, each [batch, length, hidden], and the logits after each last token."""
    found = {"attn_out": [], "mlp_out": [], "resid_post": []}

    def keep(name):
        def hook(_module, _inputs, output):
            found[name].append(output[0] if isinstance(output, tuple) else output)

        return hook

    hooks = []
    for block in model.model.layers:
        hooks.append(block.self_attn.register_forward_hook(keep("attn_out")))
        hooks.append(block.mlp.register_forward_hook(keep("mlp_out")))
        hooks.append(block.register_forward_hook(keep("resid_post")))
    mask = (torch.arange(ids.shape[1])[None] < lengths[:, None]).long()
    logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
    for hook in hooks:
        hook.remove()
    last = logits[torch.arange(len(lengths)), lengths - 1]
    return {name: torch.stack(layers).numpy() for name, layers in found.items()}, last.numpy()
