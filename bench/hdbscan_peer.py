"""scikit-learn's HDBSCAN with its own choice of algorithm. The import is not timed.

usage: hdbscan_peer.py points.f32 labels.i32 n d min_cluster_size min_samples     prints one line of JSON
"""

import json
import resource
import sys
import time

import numpy as np
import sklearn
from sklearn.cluster import HDBSCAN

points, labels = sys.argv[1:3]
n, d, min_cluster_size, min_samples = map(int, sys.argv[3:])
x = np.fromfile(points, dtype=np.float32).reshape(n, d).astype(np.float64)
start = time.perf_counter()
before = resource.getrusage(resource.RUSAGE_SELF)
fit = HDBSCAN(min_cluster_size=min_cluster_size, min_samples=min_samples, copy=True).fit(x)
after = resource.getrusage(resource.RUSAGE_SELF)
fit.labels_.astype(np.int32).tofile(labels)
print(
    json.dumps(
        {
            "seconds": time.perf_counter() - start,
            "cpu": after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime,
            "version": f"scikit-learn {sklearn.__version__}",
        }
    )
)
