"""Make ncengine/geometry/spherical.npz: the spherical view of each K from 5 to 64, with its quality printed."""

import numpy as np

from ncengine.geometry.simplex import simplex_etf
from ncengine.geometry.views import SHIPPED, optimise_spherical

views = {}
for classes in range(5, 65):
    views[f"K{classes}"] = projection = optimise_spherical(classes)
    points = simplex_etf(classes).numpy() @ projection
    norms = np.linalg.norm(points, axis=1)
    directions = points / norms[:, None]
    cosines = (directions @ directions.T)[~np.eye(classes, dtype=bool)]
    angle = np.degrees(np.arccos(cosines.max()))
    print(f"K={classes}: norm CV {norms.std() / norms.mean():.5f}, smallest angle {angle:.1f} degrees", flush=True)
np.savez_compressed(SHIPPED, **views)
