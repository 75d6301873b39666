"""Slow, plain float64 references, each written from its formula with loops and explicit inverses."""

import math

import numpy as np


def class_means(features, labels, classes):
    return np.stack([features[labels == c].mean(axis=0) for c in range(classes)])


def within_covariance(features, labels, classes):
    means = class_means(features, labels, classes)
    total = np.zeros((features.shape[1],) * 2)
    for h, y in zip(features, labels, strict=True):
        total += np.outer(h - means[y], h - means[y])
    return total / len(features)


def centred(features, labels, classes):
    means = class_means(features, labels, classes)
    return means - means.mean(axis=0)


def between_covariance(features, labels, classes):
    return sum(np.outer(row, row) for row in centred(features, labels, classes)) / classes


def nc1(features, labels, classes):
    between = between_covariance(features, labels, classes)
    return np.trace(within_covariance(features, labels, classes) @ np.linalg.pinv(between, rcond=1e-12)) / classes


def nc1_pinv32(features, labels, classes):
    """As the released code has it: Σ_B in float32, pseudo-inverse with the default cut-off D·ε of SciPy."""
    import scipy.linalg

    between = between_covariance(features, labels, classes).astype(np.float32)
    return np.trace(within_covariance(features, labels, classes) @ scipy.linalg.pinv(between)) / classes


def nc1_svds(features, labels, classes):
    """As the released code has it: a truncated SVD with K − 1 values, no division by K."""
    left, values, _ = np.linalg.svd(between_covariance(features, labels, classes))
    left, values = left[:, : classes - 1], values[: classes - 1]
    return np.trace(within_covariance(features, labels, classes) @ left @ np.diag(1 / values) @ left.T)


def vci(features, labels, classes):
    between = between_covariance(features, labels, classes)
    total = within_covariance(features, labels, classes) + between
    inverse = np.linalg.pinv(total, rcond=1e-14)
    return 1 - np.trace(inverse @ between) / min(features.shape[1], classes - 1)


def vci_exactly(features, labels, classes):
    """VCI in 80 digits, for features that have collapsed, where 1 − x has no digits left in float64; needs d ≤ rank."""
    import mpmath

    with mpmath.workdps(80):
        groups = [
            [mpmath.matrix([mpmath.mpf(float(x)) for x in h]) for h in features[labels == c]] for c in range(classes)
        ]
        means = [sum(group[1:], group[0]) / len(group) for group in groups]
        mu = sum(means[1:], means[0]) / classes
        size = features.shape[1]
        within, between = mpmath.zeros(size), mpmath.zeros(size)
        for group, mean in zip(groups, means, strict=True):
            between += (mean - mu) * (mean - mu).T / classes
            for h in group:
                within += (h - mean) * (h - mean).T / len(features)
        inverse = mpmath.inverse(within + between)
        product = inverse * between
        trace = sum(product[i, i] for i in range(size))
        return float(1 - trace / min(size, classes - 1))


def class_variances(features, labels, classes):
    means = class_means(features, labels, classes)
    return [np.mean([np.sum((h - means[c]) ** 2) for h in features[labels == c]]) for c in range(classes)]


def pair_cdnv(features, labels, classes):
    means, variances = class_means(features, labels, classes), class_variances(features, labels, classes)
    return [
        (variances[i] + variances[j]) / (2 * np.sum((means[i] - means[j]) ** 2))
        for i in range(classes)
        for j in range(classes)
        if i != j
    ]


def numerical_rank(features, labels, classes):
    singular = [np.linalg.svd(features[labels == c], compute_uv=False) for c in range(classes)]
    return np.mean([(s.sum() / np.sqrt((s**2).sum())) ** 2 for s in singular])


def cosine(a, b):
    return float(a @ b / (np.linalg.norm(a) * np.linalg.norm(b)))


def pair_cosines(rows):
    k = len(rows)
    return np.array([cosine(rows[i], rows[j]) for i in range(k) for j in range(k) if i != j])


def etf_matrix(k):
    return (np.eye(k) - np.ones((k, k)) / k) / math.sqrt(k - 1)


def gram_gap(gram):
    return np.linalg.norm(gram / np.linalg.norm(gram) - etf_matrix(len(gram)))


def gnc2(rows):
    k = len(rows)
    units = [row / np.linalg.norm(row) for row in rows]
    energy = np.mean([math.log(1 / np.linalg.norm(units[i] - units[j])) for i in range(k) for j in range(k) if i != j])
    etf = np.eye(k) - 1 / k
    etf = etf / np.linalg.norm(etf, axis=1, keepdims=True)
    ideal = np.mean([math.log(1 / np.linalg.norm(etf[i] - etf[j])) for i in range(k) for j in range(k) if i != j])
    return energy - ideal


def etf_distance(rows):
    """min over U of ‖H̃ − U M/√(K−1)‖² with U from the full d×K Procrustes problem, evaluated as written.

    With fewer than K−1 features there is no ETF to compare with, and the features are taken as part of a larger space.
    """
    k = len(rows)
    h = rows.T / np.linalg.norm(rows)
    h = np.pad(h, ((0, max(0, k - len(h))), (0, 0)))
    m = np.eye(k) - np.ones((k, k)) / k
    left, _, right = np.linalg.svd(h @ m, full_matrices=False)
    return np.linalg.norm(h - left @ right @ m / math.sqrt(k - 1)) ** 2


def groups(labels, classes):
    """Head and tail: above and below the geometric mean of the largest and the smallest class."""
    counts = np.bincount(labels, minlength=classes)
    border = math.sqrt(counts.max() * counts.min())
    return [c for c in range(classes) if counts[c] >= border], [c for c in range(classes) if counts[c] < border]


def auroc(positive, negative):
    pairs = [(a > b) + 0.5 * (a == b) for a in positive for b in negative]
    return sum(pairs) / len(pairs)


def neco(samples, features, labels, classes):
    mu = class_means(features, labels, classes).mean(axis=0)
    around = features - mu
    # Principal directions around μ_G of what varies: within classes, and class means by their share of samples.
    scatter = around.T @ around / len(features)
    directions = np.linalg.eigh(scatter)[1][:, -(classes - 1) :]
    return [np.linalg.norm(directions.T @ (h - mu)) / np.linalg.norm(h - mu) for h in samples]


def of_ood(features, labels, weight, bias, classes, ood):
    """Metrics of an out-of-distribution set."""
    means = class_means(features, labels, classes)
    return {
        "nc5_ood": np.mean([abs(cosine(mean, ood.mean(axis=0))) for mean in means]),
        "ood_auroc_neco": auroc(*(neco(samples, features, labels, classes) for samples in (features, ood))),
        "ood_auroc_logit": auroc(*([(weight @ h + bias).max() for h in samples] for samples in (features, ood))),
    }


def long_tail(features, labels, weight, bias, classes):
    """Metrics of head and tail, by the labels' own counts."""
    head, tail = groups(labels, classes)
    m, w = centred(features, labels, classes), weight - weight.mean(axis=0)
    predicted = np.array([(weight @ h + bias).argmax() for h in features])
    found = {}
    for name, members in (("head", head), ("tail", tail)):
        for kind, rows in (("means", m), ("weights", w)):
            found[f"{name}_cosine_{kind}"] = pair_cosines(rows[members]).mean()
        ours = np.isin(labels, members)
        found[f"{name}_top1"] = (predicted[ours] == labels[ours]).mean()
    for kind, rows in (("means", m), ("weights", w)):
        norms = np.linalg.norm(rows, axis=1)
        found[f"head_tail_norm_ratio_{kind}"] = norms[head].mean() / norms[tail].mean()
    return found


def metrics(features, labels, weight, bias, classes):
    """Every metric of the engine that one split has, from its formula, for float64 input."""
    m = centred(features, labels, classes)
    means = class_means(features, labels, classes)
    mu = means.mean(axis=0)
    w = weight - weight.mean(axis=0)
    within, between = within_covariance(features, labels, classes), between_covariance(features, labels, classes)
    pairs = pair_cdnv(features, labels, classes)
    found = {
        "nc1": nc1(features, labels, classes),
        "nc1_pinv": nc1_pinv32(features, labels, classes),
        "nc1_truncated": nc1_svds(features, labels, classes),
        "nc1_ratio": np.trace(within) / np.trace(between),
        "vci": vci(features, labels, classes),
        "cdnv": np.mean(pairs),
        "cdnv_log": math.exp(np.mean(np.log(pairs))),
        "numerical_rank": numerical_rank(features, labels, classes),
    }
    for name, rows in (("means", m), ("weights", w)):
        norms = np.linalg.norm(rows, axis=1)
        cosines = pair_cosines(rows)
        found[f"nc2_equinorm_{name}"] = norms.std() / norms.mean()
        found[f"nc2_equiangular_{name}"] = np.mean(np.abs(cosines + 1 / (classes - 1)))
        found[f"nc2_angle_std_{name}"] = cosines.std()
        found[f"gnc2_{name}"] = gnc2(rows)
        found[f"etf_distance_{name}"] = etf_distance(rows)
    found["wh_equinorm_gap"] = abs(found["nc2_equinorm_weights"] - found["nc2_equinorm_means"])
    found["nc2_etf_means"] = gram_gap(m @ m.T)
    found["nc2_etf_weights"] = gram_gap(weight @ weight.T)
    found["nc3"] = gram_gap(weight @ m.T)
    found["nc3_distance"] = np.linalg.norm(weight / np.linalg.norm(weight) - m / np.linalg.norm(m)) ** 2
    own = [cosine(w[c], m[c]) for c in range(classes)]
    found["nc3_cosine"], found["nc3_uniform"] = np.mean(own), np.var(own)
    found["nc4_bias"] = np.linalg.norm(weight @ mu + bias)
    norms = [np.linalg.norm(h) for h in features]
    found["feature_norm_mean"], found["feature_norm_std"] = np.mean(norms), np.std(norms)
    mismatch, loss, right, right5, nearest_own, margins = 0, 0.0, 0, 0, 0, []
    for h, y in zip(features, labels, strict=True):
        logits = weight @ h + bias
        nearest = np.argmin([np.linalg.norm(h - mean) for mean in means])
        mismatch += int(logits.argmax() != nearest)
        nearest_own += int(nearest == y)
        loss += math.log(sum(math.exp(v - logits.max()) for v in logits)) + logits.max() - logits[y]
        right += int(logits.argmax() == y)
        right5 += int(y in np.argsort(logits)[-5:])
        cosines = [cosine(h - mu, row) for row in w]
        margins.append(cosines[y] - max(c for i, c in enumerate(cosines) if i != y))
    found["nc4_ncc_mismatch"] = mismatch / len(features)
    found["ncc_accuracy"] = nearest_own / len(features)
    found["loss"] = loss / len(features)
    found["top1"] = right / len(features)
    if classes >= 5:
        found["top5"] = right5 / len(features)
    found["cosine_margin"] = np.mean(margins)
    return found
