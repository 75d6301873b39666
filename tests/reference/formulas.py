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


def nc1(features, labels, classes):
    m = centred(features, labels, classes)
    between = sum(np.outer(row, row) for row in m) / classes
    return np.trace(within_covariance(features, labels, classes) @ np.linalg.pinv(between, rcond=1e-12)) / classes


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
    """min over U of ‖H̃ − U M/√(K−1)‖² with U from the full d×K Procrustes problem, evaluated as written."""
    k = len(rows)
    h = rows.T / np.linalg.norm(rows)
    m = np.eye(k) - np.ones((k, k)) / k
    left, _, right = np.linalg.svd(h @ m, full_matrices=False)
    return np.linalg.norm(h - left @ right @ m / math.sqrt(k - 1)) ** 2


def metrics(features, labels, weight, bias, classes):
    """Every metric of the engine, from its formula, for float64 input."""
    m = centred(features, labels, classes)
    means = class_means(features, labels, classes)
    mu = means.mean(axis=0)
    w = weight - weight.mean(axis=0)
    found = {"nc1": nc1(features, labels, classes)}
    for name, rows in (("means", m), ("weights", w)):
        norms = np.linalg.norm(rows, axis=1)
        cosines = pair_cosines(rows)
        found[f"nc2_equinorm_{name}"] = norms.std() / norms.mean()
        found[f"nc2_equiangular_{name}"] = np.mean(np.abs(cosines + 1 / (classes - 1)))
        found[f"nc2_angle_std_{name}"] = cosines.std()
        found[f"gnc2_{name}"] = gnc2(rows)
        found[f"etf_distance_{name}"] = etf_distance(rows)
    found["nc2_etf_means"] = gram_gap(m @ m.T)
    found["nc2_etf_weights"] = gram_gap(weight @ weight.T)
    found["nc3"] = gram_gap(weight @ m.T)
    mismatch, loss, right, margins = 0, 0.0, 0, []
    for h, y in zip(features, labels, strict=True):
        logits = weight @ h + bias
        mismatch += int(logits.argmax() != np.argmin([np.linalg.norm(h - mean) for mean in means]))
        loss += math.log(sum(math.exp(v - logits.max()) for v in logits)) + logits.max() - logits[y]
        right += int(logits.argmax() == y)
        cosines = [cosine(h - mu, row) for row in w]
        margins.append(cosines[y] - max(c for i, c in enumerate(cosines) if i != y))
    found["nc4_ncc_mismatch"] = mismatch / len(features)
    found["loss"] = loss / len(features)
    found["top1"] = right / len(features)
    found["cosine_margin"] = np.mean(margins)
    return found
