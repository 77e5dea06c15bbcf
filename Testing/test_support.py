"""The detection that other tests lean on is what it says."""

import numpy as np


def test_the_made_lesion_lies_where_its_docstring_says(detection):
    k, j, i = (float(x.mean()) for x in np.nonzero(detection.anomaly_score > 0.5))
    ras = detection.reference.affine @ [i, j, k, 1]
    assert np.allclose(ras[:3], [-24, 30, 15], atol=1.5)
