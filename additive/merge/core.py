"""Core space: low-rank deltas of one parameter as small matrices in a shared orthonormal basis.

With QR factors of the stacked factors, [B₁ … Bₙ] = U·R_B and [A₁; …; Aₙ]ᵀ = V·R_A, every delta is
τᵢ = U·Mᵢ·Vᵀ with Mᵢ = sᵢ·R_B[i]·R_A[i]ᵀ of at most R×R, R the sum of the ranks. Singular values and
inner products of the Mᵢ are those of the τᵢ, so a spectral method on the Mᵢ is the dense method,
at the cost of R instead of the parameter's size (Core Space, Panariello et al., 2025,
arXiv:2509.17786). All of it is float64; where a source is no low-rank delta the basis is the
identity and M is the delta itself.

Singular values of matrices whose rank is known to be small.

The triangles of stacked factors: all that a diagnosis needs to know of low-rank sources.

With [B₁ … Bₙ] = U·R_B and [A₁; …; Aₙ]ᵀ = V·R_A every inner product of singular vectors is one of
columns of R_B and R_A, which are R×R. They are kept in one small file per set of sources, named by
the sources' digests; `prepare` leaves it, too. What cannot be kept or read again is computed again.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from torch import Tensor

from additive.artifacts.atomic import write_tensors
from additive.deltas.model import Delta, Dense, LowRank, combine, experts_of, matrix_shape
from additive.errors import RefusedError, ResourceError
from additive.merge.method import DeltaStack, Draws
from additive.tensors.reader import Checkpoint, open_file
from additive.types.digests import Digest, digest_json

_MARGIN = 8


_EXACT = 1e-13


def svd(matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
    """U, σ and Vᵀ of a float64 matrix, thin; of one of much lower rank than its size through its
    range.

    With Q an orthonormal basis of M·Ω, Ω a fixed Gaussian matrix of rank + 8 columns, M = Q·(QᵀM)
    when the rank is no larger than said (Halko et al., 2011, arXiv:0909.4061, without truncation).
    Where that does not hold to 1e-13 relative the whole matrix is decomposed.

    rank  how large it is thought to be at most; a wrong one costs time, not digits

    >>> U, sigma, Vh = svd(torch.ones(100, 100, dtype=torch.float64), rank=1)
    >>> round(sigma[0].item(), 9)
    100.0
    """
    if rank is not None and 3 * (rank + _MARGIN) <= min(matrix.shape):
        found = _through_range(matrix, rank + _MARGIN)
        if found is not None:
            return found
    U, sigma, Vh = torch.linalg.svd(matrix, full_matrices=False)
    return U, sigma, Vh


def _through_range(matrix: Tensor, width: int) -> tuple[Tensor, Tensor, Tensor] | None:
    generator = torch.Generator().manual_seed(0)
    probe = torch.randn(matrix.shape[1], width, generator=generator, dtype=matrix.dtype)
    Q, _ = torch.linalg.qr(matrix @ probe.to(matrix.device))
    small = Q.T @ matrix
    if torch.linalg.norm(matrix - Q @ small) > _EXACT * torch.linalg.norm(matrix):
        return None
    U, sigma, Vh = torch.linalg.svd(small, full_matrices=False)
    return Q @ U, sigma, Vh


_FORMAT = 1


@dataclass(frozen=True, eq=False)
class Triangles:
    """R_B and R_A of one parameter, (min(rows, R), R) and (min(columns, R), R), float64."""

    B: Tensor
    A: Tensor

    def fit(self, deltas: Sequence[LowRank]) -> bool:
        """Whether they have the shapes of these deltas' triangles."""
        (rows, columns), rank = deltas[0].shape, sum(delta.rank for delta in deltas)
        shapes = (min(rows, rank), rank), (min(columns, rank), rank)
        return (tuple(self.B.shape), tuple(self.A.shape)) == shapes


def triangles_of(deltas: Sequence[LowRank]) -> Triangles:
    """The triangles of one parameter's deltas, without the bases U and V."""
    B, A = stacked(deltas)
    return Triangles(_triangle(B), _triangle(A))


def stacked(deltas: Sequence[LowRank]) -> tuple[Tensor, Tensor]:
    """[B₁ … Bₙ] and [A₁; …; Aₙ]ᵀ in float64, (rows, R) and (columns, R)."""
    B = torch.cat([delta.B.double() for delta in deltas], dim=1)
    return B, torch.cat([delta.A.double() for delta in deltas], dim=0).T


def triangles_file(cache: Path, sources: Sequence[Digest]) -> Path:
    """Where the triangles of these sources, in their summing order, are kept."""
    return cache / f"triangles-{digest_json([_FORMAT, list(sources)])[:16]}.safetensors"


def read_triangles(path: Path) -> dict[str, Triangles]:
    """What was kept, by parameter; nothing where there is no whole file with its seal."""
    if not path.is_file():
        return {}
    try:
        kept = open_file(path)
        tensors = {name: kept.tensor(name) for name in kept.names()}
    except RefusedError:
        return {}
    if _said(kept, path) != _seal(tensors):
        return {}
    names = [name.removesuffix(".B") for name in tensors if name.endswith(".B")]
    return {name: Triangles(tensors[f"{name}.B"], tensors[f"{name}.A"]) for name in names}


def keep_triangles(path: Path, found: Mapping[str, Triangles]) -> None:
    """Keep triangles for the next use; a disk that does not take them costs that use its QR."""
    tensors = {f"{name}.B": one.B for name, one in found.items()}
    tensors |= {f"{name}.A": one.A for name, one in found.items()}
    with suppress(ResourceError):
        write_tensors(path, tensors, {"seal": _seal(tensors)})


def _triangle(stack: Tensor) -> Tensor:
    # In rows, as a file gives it back: the bits of a product depend on the order in memory.
    return torch.linalg.qr(stack, mode="r")[1].contiguous()


def _said(kept: Checkpoint, path: Path) -> str | None:
    return kept.headers[path.name].metadata.get("seal")


def _seal(tensors: Mapping[str, Tensor]) -> Digest:
    state = hashlib.sha256()
    for name in sorted(tensors):
        state.update(f"{name} {tuple(tensors[name].shape)}\n".encode())
        state.update(tensors[name].numpy().data)
    return state.hexdigest()


_NOISE_OF_FACTORS, _NOISE_OF_TENSORS = 1e-10, 1e-6


@dataclass(frozen=True, eq=False)
class Core:
    """One parameter's stack in core space.

    left, right  orthonormal columns, (rows, k) and (columns, k), float64; None stands for the
                 identity
    matrices     one per source, in the stack's order, float64, (k, k) or the matrix view's shape
    ranks        an upper bound of each matrix's rank
    noise        singular values below this share of the largest are rounding of the inputs
    sizes        ‖τᵢ‖ as the sources gave them, before any step
    weights, count, total, sources, rng  as in the stack
    grams        per source the second moments of the inputs that it saw, (k, k), in the basis on
                 the inputs' side; none where nobody asked
    inputs       that side: `columns`, whose basis is `right`, or `rows`, whose basis is `left`
    """

    left: Tensor | None
    right: Tensor | None
    matrices: tuple[Tensor, ...]
    ranks: tuple[int, ...]
    noise: float
    sizes: tuple[float, ...]
    weights: tuple[float, ...]
    count: int
    total: float
    sources: tuple[str, ...]
    rng: Draws
    grams: tuple[Tensor, ...] = ()
    inputs: str = "columns"

    @property
    def low_rank(self) -> bool:
        """Whether every source is s·B·A, so that the bases are those of the factors."""
        return self.left is not None

    def sum(self) -> Tensor:
        """Σ wᵢ·Mᵢ in the stack's order."""
        total = self.matrices[0] * self.weights[0]
        for weight, matrix in zip(self.weights[1:], self.matrices[1:], strict=True):
            total = total + weight * matrix
        return total

    def svd(self, matrix: Tensor, rank: int | None = None) -> tuple[Tensor, Tensor, Tensor]:
        """U, σ, V of at most `rank` singular values, without those that are rounding."""
        U, sigma, Vh = svd(matrix, rank)
        real = int((sigma > self.noise * sigma[0]).sum()) if sigma.numel() else 0
        kept = real if rank is None else min(rank, real)
        return U[:, :kept], sigma[:kept], Vh[:kept].T

    def lift(self, matrix: Tensor, shape: tuple[int, ...]) -> Delta:
        """The delta of the parameter that a core matrix stands for, float32."""
        if self.left is None or self.right is None:
            return Dense(matrix.float().reshape(shape))
        return LowRank((self.left @ matrix).float(), self.right.T.float().contiguous())


def core_of(stack: DeltaStack) -> Core:
    """The stack in core space; the matrices are unweighted."""
    low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
    if len(low) < len(stack.deltas) or not low:
        return whole_of(stack)
    core, triangles = core_of_factors(stack, low)
    if not stack.grams:
        return core
    upper = triangles.B if stack.inputs == "rows" else triangles.A
    return replace(core, grams=_on_basis(stack.grams, upper), inputs=stack.inputs)


def core_of_factors(stack: DeltaStack, low: Sequence[LowRank]) -> tuple[Core, Triangles]:
    """The core of a stack that is low-rank in all of its sources, and the triangles in it."""
    B, A = stacked(low)
    (left, upper_B), (right, upper_A) = torch.linalg.qr(B), torch.linalg.qr(A)
    matrices, start = [], 0
    for delta in low:
        part = slice(start, start + delta.rank)
        matrices.append(delta.scale * upper_B[:, part] @ upper_A[:, part].T)
        start += delta.rank
    return core_with(stack, left, right, matrices), Triangles(upper_B, upper_A)


def core_with(stack: DeltaStack, left: Tensor, right: Tensor, matrices: Sequence[Tensor]) -> Core:
    """The core of a low-rank stack whose bases and matrices are known."""
    low = [delta for delta in stack.deltas if isinstance(delta, LowRank)]
    ranks = tuple(min(delta.rank, *delta.shape) for delta in low)
    return _made(stack, left, right, list(matrices), ranks, _NOISE_OF_FACTORS)


def with_grams(core: Core, stack: DeltaStack) -> Core:
    """A core of all of a stack's sources with what each of them saw of the inputs, on its basis."""
    if core.left is None or core.right is None:
        return core
    B, A = stacked([delta for delta in stack.deltas if isinstance(delta, LowRank)])
    upper = core.left.T @ B if stack.inputs == "rows" else core.right.T @ A
    return replace(core, grams=_on_basis(stack.grams, upper), inputs=stack.inputs)


def _on_basis(grams: tuple[Tensor, ...], upper: Tensor) -> tuple[Tensor, ...]:
    """From the coordinates of the stacked factors, Aᵀ = V·R, to those of V: R⁻ᵀ·G·R⁻¹."""
    inverse = torch.linalg.pinv(upper)
    return tuple(inverse.T @ gram.double() @ inverse for gram in grams)


def whole_of(stack: DeltaStack) -> Core:
    """The stack on the identity basis: every matrix is the delta itself, dense."""
    matrices = [delta.dense().double().reshape(matrix_shape(stack.shape)) for delta in stack.deltas]
    ranks = tuple(min(matrix.shape) for matrix in matrices)
    return _made(stack, None, None, matrices, ranks, _NOISE_OF_TENSORS)


def _made(
    stack: DeltaStack,
    left: Tensor | None,
    right: Tensor | None,
    matrices: list[Tensor],
    ranks: tuple[int, ...],
    noise: float,
) -> Core:
    sizes = tuple(torch.linalg.norm(matrix).item() for matrix in matrices)
    return Core(
        left,
        right,
        tuple(matrices),
        ranks,
        noise,
        sizes,
        stack.weights,
        stack.count,
        stack.total,
        stack.sources,
        stack.rng,
    )


def in_core(stack: DeltaStack, merge: Callable[[Core], Tensor], *, sums: bool = False) -> Delta:
    """Merge a matrix parameter in core space, and fused experts one by one, each as the matrix that
    it is; vectors and other shapes are averaged, or summed where `sums`.

    No spectrum is defined for a vector, and the authors of the spectral methods take the mean
    there. A method that sums orthogonal matrices passes its `sums_orthogonal`: beside whole deltas
    of the matrices, 1/n of a source's bias would be no longer what that source had trained.
    """
    experts = stack.experts()
    if experts:
        return experts_of([in_core(expert, merge, sums=sums) for expert in experts])
    if not stack.is_matrix:
        shares = [weight / (1 if sums else stack.count) for weight in stack.weights]
        return combine(list(zip(shares, stack.deltas, strict=True)))
    core = core_of(stack)
    return core.lift(merge(core), stack.shape)
