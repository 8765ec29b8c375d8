"""Makes fixtures/alignment.golden.safetensors: the loss of docs/paper.md section 7 on small autoencoders by PyTorch's autograd in fp64, term by
term, and steps of AdamW under OneCycleLR, that the tests of src/alignment/alignment-loss.ts must follow element by element. Here the
whole autoencoder runs on every text; there the frozen latents' part is taken off once.

torch 2.13.0, safetensors 0.8.0. Usage: python scripts/alignment_golden.py
"""

import json
from pathlib import Path

import torch
from safetensors.torch import save_file

FIXTURE = Path(__file__).resolve().parent.parent / "fixtures" / "alignment.golden.safetensors"
D, WIDTH, N, STEPS, POLES = 14, 150, 40, 7, 10
WEIGHTS = {"rec": 1.0, "sparsity": 1e-4, "align": 0.5, "pol": 0.3, "proto": 0.2, "mono": 0.1}
LEVELS = torch.tensor([0.125, 0.25, 0.375, 0.5, 0.75, 1.0])


def judged() -> tuple[torch.Tensor, torch.Tensor]:
    """Texts of one foundation, or of two; each of one pole of it, or of neither."""
    m, tagged = torch.zeros(N, POLES), torch.zeros(N, 5)
    for i in range(N):
        for f in torch.randperm(5)[: 1 + int(torch.rand(()) < 0.25)].tolist():
            tagged[i, f] = 1
            pole = int(torch.randint(-1, 2, ()))
            if pole >= 0:
                m[i, 2 * f + pole] = LEVELS[torch.randint(0, 6, ())]
    return m, tagged


def maps(r: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    weights, leading = torch.zeros_like(r), torch.zeros_like(r)
    for pole in range(POLES):
        order = [f for f in r[:, pole].argsort(descending=True).tolist() if r[f, pole] > 0]
        top = order[:50]
        weights[top, pole] = r[top, pole] / r[top, pole].sum()
        leading[order[:20], pole] = 1 / len(order[:20])
    return weights, leading, r.argmax(1)


def run(case: str, profile: str, architecture: str, units: dict, tensors: dict[str, torch.Tensor]) -> dict:
    torch.manual_seed(sum(map(ord, case)))
    paper = profile == "paper"
    latents = torch.randperm(WIDTH)[:90].sort().values
    r = (0.4 * torch.rand(90, POLES) - 0.15).double()
    w_dec = torch.nn.functional.normalize(torch.randn(WIDTH, D), dim=1)
    start = {"wEnc": w_dec.t().contiguous() + 0.1 * torch.randn(D, WIDTH), "wDec": w_dec}
    start |= {"bEnc": 0.2 * torch.randn(WIDTH), "bDec": torch.randn(D), "threshold": torch.rand(WIDTH)}
    if architecture == "relu":
        start["threshold"] *= 0
    x = torch.randn(STEPS, N, D) + 0.5
    texts = [judged() for _ in range(STEPS)]
    m, tagged = torch.stack([t[0] for t in texts]), torch.stack([t[1] for t in texts])
    for name, value in start.items():
        tensors[f"{case}/start/{name}"] = value.clone()
    tensors |= {f"{case}/latents": latents.float(), f"{case}/r": r.float(), f"{case}/x": x, f"{case}/m": m, f"{case}/tagged": tagged}
    r = tensors[f"{case}/r"].double()
    weights, leading, dimension = maps(r)
    weights, leading = weights / units["z"], leading / units["z"]

    whole = {name: value.double() for name, value in start.items()}
    p = {name: whole[name].clone() for name in ("wEnc", "bEnc", "wDec")}
    p = {"wEnc": p["wEnc"][:, latents], "bEnc": p["bEnc"][latents], "wDec": p["wDec"][latents]}
    p = {name: value.clone().requires_grad_() for name, value in p.items()}

    def forward(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        w_enc = whole["wEnc"].index_copy(1, latents, p["wEnc"])
        b_enc = whole["bEnc"].index_copy(0, latents, p["bEnc"])
        w_dec = whole["wDec"].index_copy(0, latents, p["wDec"])
        pre = (x - whole["bDec"]) @ w_enc + b_enc
        z = pre.relu() * (pre > whole["threshold"])
        return z, z[:, latents], z @ w_dec + whole["bDec"]

    # s_d from the first batch.
    with torch.no_grad():
        a = forward(x[0].double())[1] @ weights
        on = tagged[0].repeat_interleave(2, dim=1).double()
        scale = (on * a * m[0]).sum(0) / (on * a * a).sum(0)
    tensors[f"{case}/scale"] = scale.float()

    def drawn(m: torch.Tensor) -> list[tuple[int, int, int]]:
        pairs = []
        for pole in range(POLES):
            of = (m[:, pole] > 0).nonzero().flatten().tolist()
            for _ in range(min(100, len(of) * (len(of) - 1) // 2)):
                i, j = torch.randperm(len(of))[:2].tolist()
                if paper or m[of[i], pole] != m[of[j], pole]:
                    pairs.append((pole, of[i], of[j]))
        return pairs

    def terms(x: torch.Tensor, m: torch.Tensor, tagged: torch.Tensor, pairs: list[tuple[int, int, int]]) -> dict[str, torch.Tensor]:
        everything, z, rebuilt = forward(x)
        a, poles = z @ weights, z @ leading
        if paper:
            align = (a.sigmoid() - m)[m > 0].square().mean()
            strong = [m[:, side::2].amax(1, keepdim=True).expand(-1, 5) > 0.3 for side in (0, 1)]
        else:
            on = tagged.repeat_interleave(2, dim=1) > 0
            align = ((scale * a).clamp(0, 1) - m)[on].square().mean()
            strong = [m[:, side::2] > 0.3 for side in (0, 1)]
        pol = 0
        for f in range(5):
            v, c = poles[:, 2 * f], poles[:, 2 * f + 1]
            for side, short in ((0, 0.5 - v + c), (1, 0.5 - c + v)):
                among = strong[side][:, f]
                if among.any():
                    pol = pol + short.relu()[among].mean() / 2
        proto = torch.stack([(0.1 - (m[i, k] - m[j, k]) * (a[i, k] - a[j, k])).relu() for k, i, j in pairs]).mean()
        largest = m.argmax(1)
        if paper:
            has = torch.ones(N, dtype=torch.bool)
        else:
            both = torch.minimum(m[:, ::2].amax(1), m[:, 1::2].amax(1)) == m.amax(1)
            has = (tagged.sum(1) == 1) & (m.amax(1) > 0) & ~both
        impure = has[:, None] & (dimension[None] != largest[:, None])
        return {
            "rec": (rebuilt - x).square().mean() / units["variance"],
            "sparsity": everything.abs().mean() / units["z"],
            "align": align,
            "pol": pol / 5,
            "proto": proto,
            "mono": (z / units["z"]).square()[impure].mean(),
        }

    pairs = [drawn(m[step]) for step in range(STEPS)]
    for step, of in enumerate(pairs):
        tensors[f"{case}/pairs/{step}"] = torch.tensor(of, dtype=torch.float32)
    args = [(x[s].double(), m[s].double(), tagged[s].double(), pairs[s]) for s in range(STEPS)]
    values = []
    for name in WEIGHTS:
        term = terms(*args[0])[name]
        for key, gradient in zip(p, torch.autograd.grad(term, list(p.values()), allow_unused=True), strict=True):
            tensors[f"{case}/gradient/{name}/{key}"] = (torch.zeros_like(p[key]) if gradient is None else gradient).float()
    optimiser = torch.optim.AdamW(p.values(), lr=1e-2, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, max_lr=1e-2, total_steps=STEPS)
    cycle = []
    for step in range(STEPS):
        found = terms(*args[step])
        loss = sum(WEIGHTS[name] * value for name, value in found.items())
        values.append({name: value.item() for name, value in found.items()} | {"total": loss.item()})
        group = optimiser.param_groups[0]
        cycle.append({"rate": group["lr"], "beta1": group["betas"][0]})
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        schedule.step()
        for key, value in p.items():
            tensors[f"{case}/after/{step}/{key}"] = value.detach().float()
    return {"profile": profile, "architecture": architecture, "units": units, "values": values, "cycle": cycle, "peak": 1e-2}


tensors: dict[str, torch.Tensor] = {}
one = {"z": 1.0, "variance": 1.0}
cases = {
    "paper-relu": run("paper-relu", "paper", "relu", one, tensors),
    "rigorous-jumprelu": run("rigorous-jumprelu", "rigorous", "jumprelu", {"z": 1.3, "variance": 0.8}, tensors),
}
header = {"cases": json.dumps(cases), "sizes": json.dumps({"d": D, "width": WIDTH, "n": N, "steps": STEPS})}
save_file({k: v.contiguous() for k, v in tensors.items()}, FIXTURE, metadata=header)
print(FIXTURE, FIXTURE.stat().st_size, {case: found["values"][0] for case, found in cases.items()})
