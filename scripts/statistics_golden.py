"""Makes fixtures/statistics.golden.json: what scikit-learn and scipy say of the arrays that the tests of src/statistics use.

Run: python scripts/statistics_golden.py   (numpy 2.4.6, scipy 1.17.1, scikit-learn 1.9.1 made the file in the repository)
Arrays are float32, so that both sides start from the same numbers; labels and counts are whole.
"""

import json
import sys
from pathlib import Path

import numpy as np
import scipy
import sklearn
from scipy import stats
from sklearn import metrics
from sklearn.cluster import HDBSCAN, KMeans
from sklearn.cluster._hdbscan import hdbscan as hdbscan_module
from sklearn.datasets import make_moons
from sklearn.decomposition import PCA
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.metrics.pairwise import cosine_similarity
from sklearn.preprocessing import StandardScaler

rng = np.random.default_rng(20240611)


def rounded(x):
    """Float32 numbers with four significant decimals, so that the file stays small and both sides read the same."""
    return np.round(np.asarray(x, dtype=np.float64), 4).astype(np.float32)


def flat(x):
    return [round(float(v), 4) for v in np.asarray(x, dtype=np.float64).ravel()]


def exact(x):
    return [float(v) for v in np.asarray(x, dtype=np.float64).ravel()]


def whole(x):
    return [int(v) for v in np.asarray(x).ravel()]


def cosine():
    a, b = rounded(rng.normal(size=(6, 20))), rounded(rng.normal(size=(5, 20)) + 3)
    return {"a": flat(a), "b": flat(b), "d": 20, "cosines": exact(cosine_similarity(a.astype(float), b.astype(float)))}


def rank_cases():
    cases = []
    for n, levels in [(12, 3), (60, 6), (300, 7), (301, None)]:
        x = rounded(rng.normal(size=n)) if levels is None else rng.integers(0, levels, n)
        y = rounded(np.asarray(x) * 0.3 + rng.normal(size=n)) if n != 60 else rng.integers(0, 4, n)
        w = rng.multinomial(n, np.ones(n) / n)
        labels = (rng.random(n) < 0.4).astype(int)
        cases.append(
            {
                "x": flat(x),
                "y": flat(y),
                "weights": whole(w),
                "labels": whole(labels),
                "ranks": exact(stats.rankdata(x)),
                "pearson": float(stats.pearsonr(x, y)[0]),
                "spearman": float(stats.spearmanr(x, y)[0]),
                "spearmanWeighted": float(stats.spearmanr(np.repeat(x, w), np.repeat(y, w))[0]),
                "auc": float(metrics.roc_auc_score(labels, x)),
                "aucWeighted": float(metrics.roc_auc_score(np.repeat(labels, w), np.repeat(x, w))),
            }
        )
    return cases


def partition_cases():
    cases = []
    for n, ka, kb, noise in [(40, 3, 4, 0.0), (200, 5, 12, 0.3), (500, 15, 40, 0.9), (1500, 15, 6, 0.5), (30, 1, 4, 0), (30, 30, 30, 0)]:
        a = rng.integers(0, ka, n) if ka < n else np.arange(n)
        b = np.where(rng.random(n) < noise, a % kb, rng.integers(-1, kb - 1, n)) if ka < n else rng.permutation(n)
        cases.append(
            {
                "a": whole(a),
                "b": whole(b),
                "ari": float(metrics.adjusted_rand_score(a, b)),
                "ami": float(metrics.adjusted_mutual_info_score(a, b)),
                "mi": float(metrics.mutual_info_score(a, b)),
                "emi": float(
                    metrics.cluster.expected_mutual_information(metrics.cluster.contingency_matrix(a, b), n)
                    if len(set(a)) > 1
                    else 0
                ),
            }
        )
    return cases


def quantile_case():
    values = rounded(rng.normal(size=57))
    shares = [0, 0.025, 0.05, 0.31, 0.5, 0.95, 0.975, 1]
    return {"values": flat(values), "shares": shares, "quantiles": exact(np.quantile(values.astype(float), shares))}


def pca_cases():
    cases = []
    for name, n, d, constant in [("tall", 60, 12, 0.0), ("wide", 15, 40, 0.0), ("constant", 50, 16, 30000.0)]:
        signal = rng.normal(size=(n, 4)) @ rng.normal(size=(4, d)) + 0.2 * rng.normal(size=(n, d))
        x = (np.round(signal * 256) / 256 + np.where(np.arange(d) % 7 == 3, constant, 0)).astype(np.float32)
        fit = PCA(svd_solver="full").fit(x.astype(np.float64))
        share = 0.95
        k = int(np.searchsorted(np.cumsum(fit.explained_variance_ratio_), share) + 1)
        cases.append(
            {
                "name": name,
                "n": n,
                "d": d,
                "x": exact(x),
                "share": share,
                "components": k,
                "variances": exact(fit.explained_variance_[: min(n - 1, d)]),
                "absoluteProjections": [float(f"{v:.9g}") for v in np.abs(fit.transform(x.astype(np.float64))[:, :k]).ravel()],
            }
        )
    return cases


def blobs(n, d, k, spread, noise=0):
    centres = rng.normal(size=(k, d)) * 6
    x = centres[rng.integers(0, k, n)] + spread * rng.normal(size=(n, d))
    x[:noise] = rng.uniform(-12, 12, size=(noise, d))
    return x


def hdbscan_labels(x, min_cluster_size, min_samples, stable):
    """scikit-learn sorts the spanning tree's edges with an unstable sort; edges of equal weight are common (a point's core
    distance), so the reference is taken with a stable one, and the stock labels are kept beside it."""
    original = hdbscan_module.np.argsort
    if stable:
        hdbscan_module.np.argsort = lambda a, *args, **kwargs: original(a, kind="stable")
    try:
        fit = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, copy=True).fit(x.astype(np.float64))
    finally:
        hdbscan_module.np.argsort = original
    return fit.labels_


def hdbscan_cases():
    shapes = {
        "blobs": (blobs(200, 3, 4, 1.0), 10, 5),
        "noise": (blobs(400, 2, 5, 0.7, 150), 12, 6),
        "overlap": (blobs(300, 5, 6, 3.5), 8, 4),
        "moons": (make_moons(240, noise=0.08, random_state=3)[0], 15, 5),
        "densities": (np.concatenate([rng.normal(size=(150, 2)) * 0.3, rng.normal(size=(150, 2)) * 2 + 7, rng.normal(size=(60, 2)) + [0, 9]]), 12, 8),
        "gaussian": (rng.normal(size=(150, 4)), 6, 3),
        "lattice": (rng.integers(0, 9, size=(300, 2)).astype(float), 8, 4),
        "copies": (np.repeat(blobs(40, 3, 3, 1.0), 4, axis=0), 9, 6),
        "one": (rng.normal(size=(60, 2)), 25, 5),
        "nested": (np.concatenate([rng.normal(size=(80, 2)) * 0.4 + c for c in ([0, 0], [2.5, 0], [12, 0], [12, 2.2], [30, 30])]), 15, 1),
    }
    cases = []
    for name, (x, min_cluster_size, min_samples) in shapes.items():
        x = rounded(x)
        stable = hdbscan_labels(x, min_cluster_size, min_samples, True)
        stock = hdbscan_labels(x, min_cluster_size, min_samples, False)
        print(name, "clusters", stable.max() + 1, "noise", (stable < 0).sum(), "stock differs at", (stable != stock).sum(), file=sys.stderr)
        cases.append(
            {
                "name": name,
                "d": x.shape[1],
                "x": flat(x),
                "minClusterSize": min_cluster_size,
                "minSamples": min_samples,
                "labels": whole(stable),
                "labelsStock": whole(stock),
            }
        )
    return cases


def kmeans_case():
    x = rounded(blobs(240, 4, 5, 0.5))
    fit = KMeans(n_clusters=5, n_init=20, random_state=0).fit(x.astype(np.float64))
    return {"d": 4, "k": 5, "x": flat(x), "inertia": float(fit.inertia_), "labels": whole(fit.labels_)}


def ridge_cases():
    cases = []
    for name, n, d in [("primal", 60, 8), ("dual", 20, 30)]:
        scale = 10.0 ** rng.uniform(-1, 1, size=d)
        x = rounded(rng.normal(size=(n + 25, d)) * scale + 5)
        x[:, 2] = 1.5  # a column without variance
        y = rounded((x[:, [0, 1, 3]] / scale[[0, 1, 3]]) @ rng.normal(size=(3, 2)) + rng.normal(size=(n + 25, 2)))
        scaler = StandardScaler().fit(x[:n].astype(np.float64))
        train, test = scaler.transform(x[:n].astype(np.float64)), scaler.transform(x[n:].astype(np.float64))
        grid = []
        for alpha in [0.1, 1.0, 10.0, 100.0, 1e4]:
            fit = Ridge(alpha=alpha, solver="svd").fit(train, y[:n].astype(np.float64))
            e = np.linalg.svd(train, compute_uv=False) ** 2
            grid.append(
                {
                    "lambda": alpha,
                    "predictions": [float(f"{v:.9g}") for v in fit.predict(test).ravel()],
                    "r2": exact(metrics.r2_score(y[n:].astype(np.float64), fit.predict(test), multioutput="raw_values")),
                    "trainingR2": exact(metrics.r2_score(y[:n].astype(np.float64), fit.predict(train), multioutput="raw_values")),
                    "edf": float(np.sum(e / (e + alpha))),
                }
            )
        cases.append({"name": name, "n": n, "d": d, "x": flat(x), "y": flat(y), "outputs": 2, "grid": grid})
    return cases


def logistic_cases():
    cases = []
    n, d = 120, 5
    x = rounded(rng.normal(size=(n, d)) * [1, 2, 0.5, 1, 3] + 1)
    y = (x[:, 0] - 0.5 * x[:, 4] + rng.normal(size=n) > 0.2).astype(int)
    scaled = StandardScaler().fit_transform(x.astype(np.float64))
    for penalty in [0.1, 1.0, 30.0]:
        fit = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=10000).fit(scaled, y)
        cases.append({"lambda": penalty, "scores": exact(fit.decision_function(scaled))})
    return {"n": n, "d": d, "x": flat(x), "y": whole(y), "fits": cases}


def bag_of_words():
    training = [
        "Stealing a car from a friend",
        "stealing food for a friend's child",
        "Not stealing from the shop",
        "helping a friend with the car",
        "helping the child, helping the friend",
    ]
    texts = ["stealing from a friend", "helping helping the friend's child", "nothing known"]
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), min_df=2, token_pattern=r"(?u)[^\W_]+(?:'[^\W_]+)*").fit(training)
    return {
        "training": training,
        "texts": texts,
        "terms": list(vectorizer.get_feature_names_out()),
        "matrix": exact(vectorizer.transform(texts).toarray()),
    }


golden = {
    "versions": {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__},
    "cosine": cosine(),
    "ranks": rank_cases(),
    "partitions": partition_cases(),
    "quantiles": quantile_case(),
    "pca": pca_cases(),
    "hdbscan": hdbscan_cases(),
    "kmeans": kmeans_case(),
    "ridge": ridge_cases(),
    "logistic": logistic_cases(),
    "bagOfWords": bag_of_words(),
}
path = Path(__file__).parent.parent / "fixtures" / "statistics.golden.json"
path.write_text(json.dumps(golden, separators=(",", ":")) + "\n")
print(path, path.stat().st_size, "bytes", file=sys.stderr)
