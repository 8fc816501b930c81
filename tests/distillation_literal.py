"""The eight papers' formulas in plain Python loops and float64, to compare with.

Written from the formulas, one number at a time; nothing of the package is used.
"""

import math
from itertools import pairwise, permutations, product


def flat(sample):
    """All numbers of a nested list."""
    if isinstance(sample, (int, float)):
        return [float(sample)]
    return [number for part in sample for number in flat(part)]


def dot(a, b):
    return sum(x * y for x, y in zip(a, b, strict=True))


def length(a):
    return math.sqrt(dot(a, a))


def minus(a, b):
    return [x - y for x, y in zip(a, b, strict=True)]


def huber(gap):
    return gap * gap / 2 if abs(gap) <= 1 else abs(gap) - 0.5


def softplus(x):
    return math.log(1 + math.exp(x))


def vanilla(student, teacher):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        total += dot(minus(flat(s), flat(t)), minus(flat(s), flat(t)))
    return total / len(student)


def softened(student, teacher, temperature):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        said, wanted = ([math.exp(z / temperature) for z in flat(x)] for x in (s, t))
        for a, b in zip(said, wanted, strict=True):
            p, q = b / sum(wanted), a / sum(said)
            total += p * math.log(p / q)
    return temperature**2 * total / len(student)


def attention_map(maps, power):
    """Of one sample: (channel, row, column) to a flat list over positions."""
    n_rows, n_columns = len(maps[0]), len(maps[0][0])
    looked = [
        sum(abs(channel[row][column]) ** power for channel in maps)
        for row, column in product(range(n_rows), range(n_columns))
    ]
    return [value / length(looked) for value in looked]


def attention(student, teacher, power=2, *, released=False):
    total = 0.0
    for s, t in zip(student, teacher, strict=True):
        gap = minus(attention_map(s, power), attention_map(t, power))
        total += dot(gap, gap) / len(gap) if released else length(gap)
    return total / len(student)


def similarity(student, teacher):
    n = len(student)
    rows = []
    for features in (student, teacher):
        gram = [[dot(flat(a), flat(b)) for b in features] for a in features]
        rows.append([[value / length(row) for value in row] for row in gram])
    return sum((rows[0][i][j] - rows[1][i][j]) ** 2 for i in range(n) for j in range(n)) / n**2


def correlation(student, teacher, gamma=0.4, order=2):
    n = len(student)

    def kernel(a, b):
        cosine = dot(flat(a), flat(b)) / length(flat(a)) / length(flat(b))
        return sum(
            math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * cosine**p
            for p in range(order + 1)
        )

    total = 0.0
    for i, j in product(range(n), repeat=2):
        total += (kernel(student[i], student[j]) - kernel(teacher[i], teacher[j])) ** 2
    return total / n**2


def neighbours(student, teacher):
    gaps = [
        [abs(x) for x in minus(flat(s), flat(t))] for s, t in zip(student, teacher, strict=True)
    ]
    pairs = [dot(a, b) for a, b in pairwise(gaps)]
    return sum(pairs) / len(pairs)


def relational(student, teacher, *, released=False):
    n = len(student)
    scaled, cosines = [], []
    for features in (student, teacher):
        points = [flat(sample) for sample in features]
        pairs = list(permutations(range(n), 2))
        distance = {(i, j): length(minus(points[i], points[j])) for i, j in pairs}
        mean = sum(distance.values()) / len(pairs)
        scaled.append({pair: d / mean for pair, d in distance.items()})
        cosines.append({
            (i, j, k): dot(minus(points[i], points[j]), minus(points[k], points[j]))
            / distance[i, j] / distance[k, j]
            for i, j, k in permutations(range(n), 3)
        })  # fmt: skip
    pairs = [huber(scaled[0][key] - scaled[1][key]) for key in scaled[0]]
    triplets = [huber(cosines[0][key] - cosines[1][key]) for key in cosines[0]]
    n_pairs = n**2 if released else len(pairs)
    n_triplets = n**3 if released else len(triplets)
    return 25 * sum(pairs) / n_pairs + 50 * sum(triplets) / n_triplets


def probabilistic(student, teacher):
    n = len(student)
    chances = []
    for features in (student, teacher):
        z = [flat(sample) for sample in features]

        def kernel(a, b):
            return (dot(a, b) / length(a) / length(b) + 1) / 2

        chances.append({
            (j, i): kernel(z[j], z[i]) / sum(kernel(z[k], z[i]) for k in range(n) if k != i)
            for i, j in permutations(range(n), 2)
        })  # fmt: skip
    return sum(t * math.log(t / s) for s, t in zip(*(c.values() for c in chances), strict=True))


def probabilistic_released(student, teacher):
    """KL(student || teacher), each sample its own neighbour, averaged over all pairs."""
    n = len(student)
    chances = []
    for features in (student, teacher):
        z = [flat(sample) for sample in features]
        kernel = [[(dot(a, b) / length(a) / length(b) + 1) / 2 for b in z] for a in z]
        chances.append([[value / sum(row) for value in row] for row in kernel])
    s, t = chances
    return sum(s[i][j] * math.log(s[i][j] / t[i][j]) for i in range(n) for j in range(n)) / n**2


def project(features, weight, bias):
    out = [dot(row, features) + b for row, b in zip(weight, bias, strict=True)]
    return [value / length(out) for value in out]


def contrastive(
    student, teacher, index, projections, memories, *, released, log_partition, temperature=0.07
):
    """Both directions; projections and memories of the student, then of the teacher."""
    projected = [
        [project(flat(sample), *projection) for sample in features]
        for features, projection in zip((student, teacher), projections, strict=True)
    ]
    n_memory = len(memories[0])
    ratio = (n_memory - 1) / n_memory
    partition = math.exp(log_partition) if released else 1.0

    def h(a, b):
        x = math.exp(dot(a, b) / temperature) / partition
        return x / (x + ratio)

    total = 0.0
    for anchors, positives, memory in (
        (projected[0], projected[1], memories[1]),
        (projected[1], projected[0], memories[0]),
    ):
        for number, anchor, positive in zip(index, anchors, positives, strict=True):
            total -= math.log(h(anchor, memory[number] if released else positive))
            for other in range(n_memory):
                if other != number:
                    total -= math.log(1 - h(anchor, memory[other]))
    return total / len(index)


def variational(student, teacher, weights, softened, *, released=False):
    """Maps (sample, channel, row, column); weights of three 1 x 1 convolutions."""
    variances = [softplus(a) + 1e-5 for a in softened]
    total, count = 0.0, 0
    for s, t in zip(student, teacher, strict=True):
        for row, column in product(range(len(s[0])), range(len(s[0][0]))):
            values = [channel[row][column] for channel in s]
            for number, weight in enumerate(weights):
                values = [dot(line, values) for line in weight]
                if number < 2:
                    values = [max(value, 0.0) for value in values]
            for channel, (mean, variance) in enumerate(zip(values, variances, strict=True)):
                gap = t[channel][row][column] - mean
                total += math.log(math.sqrt(variance)) + gap**2 / (2 * variance)
            count += 1
    return total / count / (len(variances) if released else 1)
