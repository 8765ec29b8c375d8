import { join } from 'node:path';
import { writeFileAtomic } from '../../artifact/files.js';
import { type SafetensorsTensor, writeSafetensors } from '../../checkpoint/safetensors.js';
import { MoralscopeError } from '../../errors.js';
import { type Change, interventionTensors, type Mode } from '../../model/intervention.js';
import { blockBefore, blockModule } from './block-module.js';
import type { ExportRequest, Write } from './export-model.js';

const FILE = 'steering.safetensors';

const LATENTS = `def latents(x, t, name):
    pre = (x - t["centre"]) @ t[name + ".wEnc"] + t[name + ".bEnc"]
    return (pre.relu() * (pre > t.get(name + ".threshold", 0))) @ t[name + ".wDec"]
`;

/** f(x), where x + s f(x) is the state at strength s, with the tensors `t` of a block. */
const FORMULAS: Readonly<Record<Mode, string>> = {
  add: `def change(x, t):
    return t["direction"]`,
  project: `def change(x, t):
    return GATE(x @ t["w"] + t["b"]) * t["u"]`,
  blend: `${LATENTS}
def change(x, t):
    return latents(x, t, "latents") + t["bias"] - x`,
  delta: `${LATENTS}
def change(x, t):
    return latents(x, t, "after") - latents(x, t, "before")`,
};

/** The Python that applies a change of this kind. */
export function hookSource(change: Change): string {
  const gate = change.mode === 'project' && change.gate === 'relu' ? 'torch.relu' : '';
  const formula = FORMULAS[change.mode].replace('GATE', gate);
  return `import torch
from safetensors.torch import load_file

${formula}

def steer(model, path="${FILE}", strength=1.0):
    modules = {}
    for name, tensor in load_file(path).items():
        module, part = name.split("/")
        modules.setdefault(module, {})[part] = tensor.to(model.device, model.dtype)
    def hook_of(t):
        def hook(module, args, kwargs, output):
            x = output[0] if isinstance(output, tuple) else output
            still = (kwargs["position_ids"] == 0) | (x.norm(dim=-1) > t["sink_threshold"])
            x = x + strength * torch.where(still.unsqueeze(-1), 0, change(x, t))
            return (x, *output[1:]) if isinstance(output, tuple) else x
        return hook
    return [model.base_model.get_submodule(module).register_forward_hook(hook_of(t), with_kwargs=True)
            for module, t in modules.items()]
`;
}

/**
 * Writes the numbers of a remedy as safetensors, and a README.md with the Python that applies them in transformers.
 * @throws MoralscopeError `misuse` for changes at other sites than the stream between blocks; `disk`
 */
export function torchHook(request: ExportRequest): Write {
  const { model, mapping, interventions, strength, work } = request;
  const tensors: Record<string, SafetensorsTensor> = {};
  const [{ change }] = interventions;
  for (const { site, ...intervention } of interventions) {
    const module = blockModule(blockBefore(site, mapping.spec.layers, 'The hook'), request);
    if (`${module}/sink_threshold` in tensors || hookSource(intervention.change) !== hookSource(change))
      throw new MoralscopeError(
        'misuse',
        `The hook cannot change ${site} in another way than the rest.`,
        'Choose --format onnx.',
      );
    for (const [name, { data, shape }] of Object.entries(interventionTensors({ site, ...intervention }, mapping.spec.hidden)))
      tensors[`${module}/${name}`] = { dtype: 'F32', shape, data: data as Float32Array<ArrayBuffer> };
  }
  const text = readme(
    model,
    change,
    strength!,
    interventions.map(({ site }) => site),
  );
  return async (directory) => {
    await writeSafetensors(join(directory, FILE), tensors, { model }, work.signal);
    await writeFileAtomic(join(directory, 'README.md'), text);
    return [FILE, 'README.md'];
  };
}

function readme(model: string, change: Change, strength: number, sites: readonly string[]): string {
  return `# A change of ${model}'s states (${change.mode})

\`${FILE}\` holds the numbers of the change at ${sites.join(', ')}, by the module of transformers whose output it changes and the name
of the tensor. At strength s a state x becomes x + s f(x). A text's first token and states longer than \`sink_threshold\` stay as they are.

\`\`\`python
${hookSource(change)}\`\`\`

\`\`\`python
hooks = steer(model, strength=${strength})  # an AutoModelForCausalLM
...
for hook in hooks:
    hook.remove()
\`\`\`

Which token is a text's first is read from \`position_ids\`, which \`generate\` counts past padding; give them yourself where you call the
model with texts that are padded on the left.
`;
}
