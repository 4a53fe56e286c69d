"""Functions of tensors as methods: the tensor is their first argument."""

from __future__ import annotations

from .backward import backward as _backward
from .ops import contract, diagonals, elementwise, joining, linalg, shape
from .ops.indexing import gathering, sorting
from .ops.reductions import cumulative, reduce, statistics
from .ops.reductions import norm as _norm
from .ops.reductions import softmax as _softmax
from .value import Value


class Methods(Value):
    """A tensor's state, and what is computed of it by a function of the same name."""

    __slots__ = ()

    backward = _backward
    exp = elementwise.exp
    expm1 = elementwise.expm1
    log = elementwise.log
    log1p = elementwise.log1p
    log2 = elementwise.log2
    log10 = elementwise.log10
    sqrt = elementwise.sqrt
    rsqrt = elementwise.rsqrt
    reciprocal = elementwise.reciprocal
    sin = elementwise.sin
    cos = elementwise.cos
    tan = elementwise.tan
    sinh = elementwise.sinh
    cosh = elementwise.cosh
    tanh = elementwise.tanh
    acos = elementwise.acos
    acosh = elementwise.acosh
    arccos = elementwise.arccos
    arccosh = elementwise.arccosh
    arcsin = elementwise.arcsin
    arcsinh = elementwise.arcsinh
    arctan = elementwise.arctan
    arctan2 = elementwise.arctan2
    arctanh = elementwise.arctanh
    asin = elementwise.asin
    asinh = elementwise.asinh
    atan = elementwise.atan
    atan2 = elementwise.atan2
    atanh = elementwise.atanh
    exp2 = elementwise.exp2
    hypot = elementwise.hypot
    copysign = elementwise.copysign
    signbit = elementwise.signbit
    nextafter = elementwise.nextafter
    logaddexp = elementwise.logaddexp
    sigmoid = elementwise.sigmoid
    softplus = elementwise.softplus
    erf = elementwise.erf
    abs = elementwise.abs
    absolute = elementwise.absolute
    sign = elementwise.sign
    square = elementwise.square
    floor = elementwise.floor
    ceil = elementwise.ceil
    trunc = elementwise.trunc
    round = elementwise.round
    relu = elementwise.relu
    isnan = elementwise.isnan
    isinf = elementwise.isinf
    isfinite = elementwise.isfinite
    logical_not = elementwise.logical_not
    logical_and = elementwise.logical_and
    logical_or = elementwise.logical_or
    logical_xor = elementwise.logical_xor
    maximum = elementwise.maximum
    minimum = elementwise.minimum
    nonzero = elementwise.nonzero
    clip = elementwise.clip
    lerp = elementwise.lerp
    allclose = elementwise.allclose
    mul = elementwise.multiply
    multiply = elementwise.multiply
    div = elementwise.divide
    divide = elementwise.divide
    true_divide = elementwise.divide
    floor_divide = elementwise.floor_divide
    remainder = elementwise.remainder
    pow = elementwise.power
    neg = elementwise.negative
    eq = elementwise.equal
    ne = elementwise.not_equal
    lt = elementwise.less
    le = elementwise.less_equal
    gt = elementwise.greater
    ge = elementwise.greater_equal
    clamp = elementwise.clamp
    det = linalg.det
    inverse = linalg.inv
    logdet = linalg.solving.logdet
    slogdet = linalg.slogdet
    pinverse = linalg.solving.pinverse
    sum = reduce.sum
    mean = reduce.mean
    var = reduce.var
    std = reduce.std
    amax = reduce.amax
    amin = reduce.amin
    max = reduce.max
    min = reduce.min
    argmax = reduce.argmax
    argmin = reduce.argmin
    any = reduce.any
    all = reduce.all
    count_nonzero = reduce.count_nonzero
    prod = reduce.prod
    diff = reduce.diff
    cumsum = cumulative.cumsum
    cumprod = cumulative.cumprod
    cummax = cumulative.cummax
    cummin = cumulative.cummin
    logcumsumexp = cumulative.logcumsumexp
    logsumexp = _softmax.logsumexp
    softmax = _softmax.softmax
    log_softmax = _softmax.log_softmax
    norm = _norm.norm
    reshape = shape.reshape
    flatten = shape.flatten
    unflatten = shape.unflatten
    ravel = shape.ravel
    permute = shape.permute
    transpose = shape.transpose
    swapaxes = shape.swapaxes
    moveaxis = shape.moveaxis
    movedim = shape.moveaxis  # PyTorch's name
    squeeze = shape.squeeze
    unsqueeze = shape.unsqueeze
    chunk = joining.chunk
    unbind = joining.unbind
    tile = joining.tile
    unfold = shape.unfold
    repeat_interleave = joining.repeat_interleave
    flip = shape.flip
    roll = shape.roll
    tril = diagonals.tril
    triu = diagonals.triu
    diagonal = diagonals.diagonal
    diag = diagonals.diag
    trace = diagonals.trace
    expand = shape.broadcast_to
    broadcast_to = shape.broadcast_to
    t = shape.transpose
    take = gathering.take
    index_select = gathering.index_select
    gather = gathering.gather
    masked_select = gathering.masked_select
    scatter = gathering.scatter
    scatter_add = gathering.scatter_add
    index_add = gathering.index_add
    argsort = sorting.argsort
    sort = sorting.sort
    topk = sorting.topk
    matmul = contract.matmul
    dot = contract.dot
    outer = contract.outer
    mm = contract.matmul
    bmm = contract.matmul
    addmm = contract.addmm
    quantile = statistics.quantile
    median = statistics.median
    unique = statistics.unique
    bincount = statistics.bincount
