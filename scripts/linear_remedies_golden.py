"""Makes fixtures/linear-remedies.golden.json: what numpy and scikit-learn make of the linear remedies of docs/paper.md section 8.

Run: python scripts/linear_remedies_golden.py   (numpy 2.4.6, scikit-learn 1.9.1 made the file in the repository)
States are float32 with constants far larger than their signal; pairs of good and bad rows stand beside each other.
"""

import json
import sys
from pathlib import Path

import numpy as np
import sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics import r2_score, roc_auc_score
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(20260301)
D, TARGET, STRENGTH = 7, 0.6, 0.6
LAMBDAS = [10.0**e for e in range(-1, 8)]


def states(pairs, direction):
    topic = np.repeat(rng.normal(size=(pairs, D)) * 2, 2, axis=0)
    y = np.tile([1.0, -1.0], pairs)
    x = topic + rng.normal(size=(2 * pairs, D)) + np.outer(y, direction)
    x[:, 0] += 1000
    x[:, 3] *= 20
    return np.round(x, 4).astype(np.float32).astype(np.float64), y


def case(pairs, validation_pairs, weigh):
    direction = rng.normal(size=D) * 0.5
    x, y = states(pairs, direction)
    v, vy = states(validation_pairs, direction)
    if weigh:
        y = y * rng.choice([0.25, 0.5, 1], size=len(y))
        vy = vy * rng.choice([0.25, 0.5, 1], size=len(vy))
        y[:4] = 0
    good, bad = y > 0, y < 0
    difference = np.average(x[good], axis=0, weights=y[good]) - np.average(x[bad], axis=0, weights=-y[bad])
    mu = x.mean(axis=0)
    spread = np.sqrt(((x - mu) ** 2).sum(axis=1).mean())

    scaler = StandardScaler().fit(x)
    fits = [Ridge(alpha=a).fit(scaler.transform(x), y) for a in LAMBDAS]
    scores = [r2_score(vy, fit.predict(scaler.transform(v))) for fit in fits]
    best = int(np.argmax(scores))
    w = fits[best].coef_ / scaler.scale_
    sigma = (x @ w).std()
    judged = vy != 0
    auc = roc_auc_score(vy[judged] > 0, (v @ w)[judged])
    u = difference / np.linalg.norm(difference) * spread
    amplified = v + STRENGTH * np.outer((v - mu) @ w / sigma, u)

    apart = x[0::2] - x[1::2]
    kept = (y[0::2] > 0) & (y[1::2] < 0)
    apart = apart[kept]
    pca = PCA(n_components=1).fit(np.vstack([apart, -apart]))
    component = pca.components_[0]
    component = component * np.sign((apart @ component).mean())
    component = component * (x @ component).std()

    z = (v @ w - (x @ w).mean()) / sigma
    zs = StandardScaler().fit(z[judged][:, None])
    platt = LogisticRegression(C=1.0, tol=1e-10).fit(zs.transform(z[judged][:, None]), (vy > 0)[judged])
    slope = platt.coef_[0, 0] / zs.scale_[0]
    offset = platt.intercept_[0] - slope * zs.mean_[0]
    probe = slope * w / sigma
    b = offset - slope * (x @ w).mean() / sigma
    step = np.maximum(0, (np.log(TARGET / (1 - TARGET)) - v @ probe - b) / (probe @ probe))
    return {
        "train": x.ravel().tolist(),
        "validation": v.ravel().tolist(),
        "y": y.tolist(),
        "validationY": vy.tolist(),
        "weigh": weigh,
        "difference": difference.tolist(),
        "spread": float(spread),
        "lambda": LAMBDAS[best],
        "validationAuc": float(auc),
        "w": w.tolist(),
        "caa": (v + STRENGTH * difference).ravel().tolist(),
        "amplify": amplified.ravel().tolist(),
        "component": component.tolist(),
        "explained": float(pca.explained_variance_ratio_[0]),
        "conva": (v + np.outer(step, probe)).ravel().tolist(),
        "steps": step.tolist(),
    }


golden = {
    "versions": {"numpy": np.__version__, "scikit-learn": sklearn.__version__},
    "d": D,
    "strength": STRENGTH,
    "target": TARGET,
    "cases": [case(30, 12, False), case(40, 10, True)],
}
path = Path(__file__).parent.parent / "fixtures" / "linear-remedies.golden.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path, path.stat().st_size, "bytes", [c["lambda"] for c in golden["cases"]], [c["validationAuc"] for c in golden["cases"]], file=sys.stderr)
