"""Mutated MINDIR files."""

import json
from pathlib import Path

import numpy as np
from mindspore.train import mind_ir_pb2

from campaign.mutate import mutated
from ssim_ae.checked_files import EMPTY_CHECKSUM, file_hash, with_checksum
from ssim_ae.detector.detector_file import json_beside

OPERATORS = ("Conv2D", "BiasAdd", "Maximum", "MakeTuple", "Load", "Custom", "x")
NUMBERS = (0, -1, 1, 3, 7, 70000, 2**31 - 1, 2**40, -(2**62))


def write_with_checksum(path: Path, data: bytes, beside: bytes) -> None:
    """Write a MINDIR file and our JSON beside it, with valid checksums."""
    metadata = json.loads(beside) | {"weights_sha256": file_hash(data), **EMPTY_CHECKSUM}
    path.write_bytes(data)
    json_beside(path).write_bytes(with_checksum(json.dumps(metadata).encode()))


def mutated_model(data: bytes, rng: np.random.Generator) -> bytes:
    """Return the file with mutations of its bytes or, with equal probability, of its graph."""
    if rng.random() < 0.5:
        return mutated(data, rng)
    model = mind_ir_pb2.ModelProto()
    model.ParseFromString(data)
    for _ in range(rng.integers(1, 4)):
        _mutate_graph(model, rng)
    return bytes(model.SerializeToString())


def _mutate_graph(model: mind_ir_pb2.ModelProto, rng: np.random.Generator) -> None:
    """Change an attribute, a connection, an operator or a shape, or remove a node."""
    nodes, number = list(model.graph.node), int(rng.choice(NUMBERS))
    node, other = (nodes[position] for position in rng.integers(len(nodes), size=2))
    tensors = [*model.graph.parameter, *(tensor for value in model.graph.input for tensor in value.tensor)]
    match rng.integers(5):
        case 0:
            holders = [holder for holder in (*model.primitives, *nodes) if holder.attribute]
            attributes = holders[rng.integers(len(holders))].attribute
            attribute = attributes[rng.integers(len(attributes))]
            attribute.i = number
            for value in attribute.values:
                value.i = number
            if attribute.ints:
                attribute.ints[0] = number
        case 1:
            if node.input:
                node.input[rng.integers(len(node.input))] = other.name
        case 2:
            model.primitives[rng.integers(len(model.primitives))].op_type = str(rng.choice(OPERATORS))
        case 3:
            tensor = tensors[rng.integers(len(tensors))]
            if tensor.dims:
                tensor.dims[rng.integers(len(tensor.dims))] = number
        case 4:
            model.graph.node.remove(node)
