"""Slow, literal transcriptions of the papers in NumPy, float64, one parameter at a time."""

from __future__ import annotations

import numpy as np


def task_arithmetic(deltas, weights):
    """Ilharco et al., 2023: the weighted sum of task vectors."""
    merged = np.zeros_like(deltas[0])
    for weight, delta in zip(weights, deltas, strict=True):
        merged = merged + weight * delta
    return merged


def linear(deltas, weights):
    """Wortsman et al., 2022: the weighted average."""
    return task_arithmetic(deltas, weights) / sum(weights)


def ties(deltas, density):
    """Yadav et al., 2023, algorithm 1, per parameter: trim, elect, disjoint mean."""
    trimmed = [_trim(delta, density) for delta in deltas]
    return elect_and_mean(trimmed, [1.0] * len(deltas))


def _trim(delta, density):
    flat = np.abs(delta).reshape(-1)
    keep = max(1, int(density * flat.size + 1e-9))
    threshold = np.sort(flat)[::-1][keep - 1]
    return np.where(np.abs(delta) >= threshold, delta, 0.0)


def elect_and_mean(deltas, weights):
    """Element by element: the sign of the sum, then the mean of the values that have it."""
    merged = np.zeros_like(deltas[0])
    for index in np.ndindex(*merged.shape):
        values = [(weight, delta[index]) for weight, delta in zip(weights, deltas, strict=True)]
        elected = np.sign(sum(weight * value for weight, value in values))
        agreeing = [(w, v) for w, v in values if v != 0 and np.sign(v) == elected]
        if elected != 0 and agreeing:
            merged[index] = sum(w * v for w, v in agreeing) / sum(w for w, _ in agreeing)
    return merged


def dare(deltas, weights, uniforms, density):
    """Yu et al., 2024: drop with probability 1−p, divide by p, sum; the uniform draws are given."""
    return task_arithmetic(
        [_thin(d, u, density) for d, u in zip(deltas, uniforms, strict=True)], weights
    )


def dare_ties(deltas, weights, uniforms, density):
    """DARE's masks, then TIES's election and disjoint mean."""
    thinned = [_thin(delta, draws, density) for delta, draws in zip(deltas, uniforms, strict=True)]
    return elect_and_mean(thinned, weights)


def _thin(delta, draws, density):
    return np.where(draws < density, delta / density, 0.0)


def breadcrumbs(deltas, weights, density, gamma):
    """Davari & Belilovsky, 2024: drop the largest gamma and the smallest 1 − gamma − density."""
    masked = []
    for delta in deltas:
        order = np.argsort(-np.abs(delta).reshape(-1), kind="stable")
        dropped = int(gamma * order.size + 1e-9)
        keep = max(1, int(density * order.size + 1e-9))
        mask = np.zeros(order.size, dtype=bool)
        mask[order[dropped : dropped + keep]] = True
        masked.append(np.where(mask.reshape(delta.shape), delta, 0.0))
    return task_arithmetic(masked, weights)


def della(deltas, weights, uniforms, density, epsilon):
    """Deep et al., 2024: per row, keep with a probability that grows with the magnitude's rank."""
    pruned = []
    for delta, draws in zip(deltas, uniforms, strict=True):
        rows = delta.reshape(-1, delta.shape[-1])
        out = np.zeros_like(rows)
        for i, row in enumerate(rows):
            ranks = np.argsort(np.argsort(np.abs(row), kind="stable"), kind="stable")
            p = density - epsilon + 2 * epsilon * ranks / max(len(row) - 1, 1)
            out[i] = np.where(draws.reshape(rows.shape)[i] < p, row / p, 0.0)
        pruned.append(out.reshape(delta.shape))
    return elect_and_mean(pruned, weights)


def consensus_ta(deltas, weights, threshold, agreement):
    """Wang et al., 2024: TALL masks, then keep what at least k tasks need."""
    weighted = [w * d for w, d in zip(weights, deltas, strict=True)]
    total = sum(weighted)
    masks = [np.abs(d) >= threshold * np.abs(total - d) for d in weighted]
    return np.where(sum(m.astype(int) for m in masks) >= min(agreement, len(deltas)), total, 0.0)


def localize_and_stitch(deltas, weights, density):
    """He et al., 2024, without data: largest elements of each, overlaps averaged (one parameter is
    all).
    """
    masks = [np.abs(_trim(delta, density)) > 0 for delta in deltas]
    owners = sum(mask.astype(int) for mask in masks)
    total = sum(w * np.where(m, d, 0.0) for w, m, d in zip(weights, masks, deltas, strict=True))
    return total / np.maximum(owners, 1)


def tsv_m(deltas, weights, ranks, ridge):
    """Gargiulo et al., 2025, on full matrices, with the whitening s → s·√((1+ε)/(s²+ε))."""
    lefts, values, rights = [], [], []
    for delta, weight, rank in zip(deltas, weights, ranks, strict=True):
        U, s, Vh = np.linalg.svd(delta, full_matrices=False)
        rank = min(rank, int((s > 1e-10 * s[0]).sum()))
        lefts.append(U[:, :rank]), values.append(weight * s[:rank]), rights.append(Vh[:rank].T)
    return (
        _whiten(np.hstack(lefts), ridge)
        @ np.diag(np.hstack(values))
        @ _whiten(np.hstack(rights), ridge).T
    )


def _whiten(X, ridge):
    P, s, Qh = np.linalg.svd(X, full_matrices=False)
    return P @ np.diag(s * np.sqrt((1 + ridge) / np.maximum(s**2 + ridge, 1e-300))) @ Qh


def iso_c(deltas, weights):
    """Marczak et al., 2025, over the directions that the sum has."""
    U, s, Vh = np.linalg.svd(task_arithmetic(deltas, weights), full_matrices=False)
    rank = int((s > 1e-10 * s[0]).sum())
    return s[:rank].mean() * U[:, :rank] @ Vh[:rank]


def svc(deltas, weights, floor):
    """Singular value calibration (arXiv:2602.05536) of the weighted sum, on full matrices."""
    weighted = [w * d for w, d in zip(weights, deltas, strict=True)]
    total = sum(weighted)
    U, s, Vh = np.linalg.svd(total, full_matrices=False)
    rank = int((s > 1e-10 * s[0]).sum())
    calibrated = np.zeros_like(total)
    for r in range(rank):
        u = U[:, r]
        factors = []
        for part in weighted:
            size = (u @ part) @ (u @ part)
            present = size > 1e-20 * (part**2).sum()
            factors.append(max(floor, ((u @ total) @ (u @ part)) / size if present else 0.0))
        calibrated += len(weighted) / sum(factors) * s[r] * np.outer(u, Vh[r])
    return calibrated


def pico(deltas, weights):
    """Pre-calibration (arXiv:2604.16826) on the left space of the deltas themselves."""
    U, s, _ = np.linalg.svd(np.hstack(deltas), full_matrices=False)
    alpha = 1 / (1 + (len(deltas) - 1) * s**2 / (s**2).sum())
    damp = np.eye(len(U)) + U @ np.diag(alpha - 1) @ U.T
    total = sum(w * damp @ d for w, d in zip(weights, deltas, strict=True))
    size = np.mean([abs(w) * np.linalg.norm(d) for w, d in zip(weights, deltas, strict=True)])
    return total * size / np.linalg.norm(total)


def swudi(deltas, weights, steps, keep):
    """Gradient descent on WUDI's objective from the weighted sum, in the leading directions of the
    inputs' second moment, integrated exactly (arXiv:2606.07289, 2503.08099), on full matrices.
    """
    start = sum(w * d for w, d in zip(weights, deltas, strict=True))
    moments = [d.T @ d / (d**2).sum() for d in deltas]
    values, Q = np.linalg.eigh(sum(moments))
    present = int((values > 1e-10 * values[-1]).sum())
    leading = range(len(values) - max(1, round(keep * present)), len(values))
    target = sum(w * d @ C for w, d, C in zip(weights, deltas, moments, strict=True))
    merged = start.copy()
    for j in leading:
        q = Q[:, j]
        minimum = target @ q / values[j]
        left = np.exp(-steps * values[j] / values[-1])
        merged += np.outer((1 - left) * (minimum - start @ q), q)
    return merged


def swudi_published(deltas, time, share):
    """The closed form as published (arXiv:2606.07289): τ + (D − τ·C)·Q·diag(h/λ)·Qᵀ from the plain
    sum, h = 1 − exp(−time·λ) on the leading share of all columns and 0 on the others.
    """
    start = sum(deltas)
    C = sum(d.T @ d / np.linalg.norm(d) ** 2 for d in deltas)
    D = sum(d @ d.T @ d / np.linalg.norm(d) ** 2 for d in deltas)
    values, Q = np.linalg.eigh(C)
    h = 1 - np.exp(-time * values)
    h[: len(values) - int(np.ceil(share * len(values)))] = 0
    return start + (D - start @ C) @ Q @ np.diag(h / values) @ Q.T, values[-1]


def regmean(deltas, weights, inputs, basis, reduction, ridge):
    """Jin et al., 2023, by least squares on full matrices, over deltas with rows in `basis`."""
    moments = [basis.T @ X.T @ X @ basis / len(X) for X in inputs]
    eye = np.eye(basis.shape[1])
    moments = [
        w * (reduction * G + (1 - reduction) * np.trace(G) / len(G) * eye)
        for w, G in zip(weights, moments, strict=True)
    ]
    total = sum(moments)
    right = sum(d @ basis @ G for d, G in zip(deltas, moments, strict=True))
    solved = np.linalg.solve(total + ridge * np.trace(total) / len(total) * eye, right.T).T
    return solved @ basis.T


def core_space(deltas, merge):
    """Panariello et al., 2025: the merge of the sources' coordinates in shared bases, lifted; the
    bases are the singular vectors of the deltas side by side and below each other.
    """
    U, V = _left(np.hstack(deltas)), _left(np.hstack([delta.T for delta in deltas]))
    return U @ merge([U.T @ delta @ V for delta in deltas]) @ V.T


def _left(matrix):
    U, sigma, _ = np.linalg.svd(matrix, full_matrices=False)
    return U[:, sigma > 1e-10 * sigma[0]]


def ctm(deltas, weights, rank, density, beta):
    """arXiv:2606.03723: Tucker-2 basis of rescaled sources, TIES on the coordinates, lifted."""
    sizes = [np.linalg.norm(d) for d in deltas]
    targets = [beta * size + (1 - beta) * np.mean(sizes) for size in sizes]
    scaled = [target * d / size for target, d, size in zip(targets, deltas, sizes, strict=True)]
    U = np.linalg.svd(np.hstack(scaled))[0][:, :rank]
    V = np.linalg.svd(np.vstack(scaled))[2][:rank].T
    for _ in range(3):
        U = np.linalg.svd(np.hstack([d @ V for d in scaled]))[0][:, :rank]
        V = np.linalg.svd(np.hstack([d.T @ U for d in scaled]))[0][:, :rank]
    trimmed = [_trim(U.T @ d @ V, density) for d in deltas]
    return U @ elect_and_mean(trimmed, weights) @ V.T
