"""MobileNetV1 on the CPU through ONNX Runtime, which needs a fraction of eager PyTorch's time.

The graph is written here, node by node: nothing is traced. Batch normalisations are folded into
the convolutions before them.
"""

import copy
import hashlib
import importlib.util
from pathlib import Path

import numpy as np
from torch import nn

import v2mlib
from v2mlib.checks import InputError
from v2mlib.files import atomic
from v2mlib.models.mobilenet_v1 import IMAGE_SIZE
from v2mlib.paths import cache_dir

_OPSET = 17
_IR_VERSION = 8  # what every ONNX Runtime of the last years reads


def onnx_available():
    """Whether ONNX Runtime and the writer of its files are installed.

    Returns
    -------
    bool
        They come with ``pip install v2mlib[photos]``.
    """
    return all(importlib.util.find_spec(name) is not None for name in ("onnx", "onnxruntime"))


def onnx_predictor(network, *, threads=1):
    """Let ONNX Runtime compute what a network computes.

    The graph is kept in the cache under the checksum of the weights and written again if it is
    missing or damaged.

    Parameters
    ----------
    network : MobileNetV1
        In eval mode.
    threads : int
        Of ONNX Runtime; 0 takes all processors.

    Returns
    -------
    function
        From images, a float32 array ``(batch, bgr=3, row, column)`` as `whiten` gives them, to
        outputs, a float32 array ``(batch, output)``, equal to the network's to 1e-5.

    Raises
    ------
    InputError
        If ONNX Runtime is not installed, or the network is still training.
    """
    if not onnx_available():
        raise InputError(
            "onnx and onnxruntime",
            "are not installed",
            'pip install "v2mlib[photos]", or choose runtime="torch"',
        )
    import onnxruntime

    path = onnx_graph(network)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3  # errors: warnings are about devices that are not there
    try:
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])
    except Exception:  # a cached file can be damaged in any way; written anew it is sound
        path.unlink(missing_ok=True)
        path = onnx_graph(network)
        session = onnxruntime.InferenceSession(path, options, ["CPUExecutionProvider"])

    def predict(images):
        images = np.ascontiguousarray(images, dtype=np.float32)
        return session.run(["outputs"], {"images": images})[0]

    return predict


def onnx_graph(network):
    """Write a network as an ONNX file, unless the cache has it.

    Parameters
    ----------
    network : MobileNetV1
        In eval mode.

    Returns
    -------
    pathlib.Path
        The file, named by the checksum of the weights.

    Raises
    ------
    InputError
        If the network is still training.
    """
    if network.training:
        raise InputError("the network", "is in training mode", "call network.eval() first")
    path = cache_dir() / "onnx" / f"mobilenet_v1-{_checksum(network)}.onnx"
    if not path.is_file():
        model = _model(network)
        with atomic(path) as partial:
            partial.write_bytes(model.SerializeToString())
    return Path(path)


def _checksum(network):
    digest = hashlib.sha256(f"{_OPSET} {v2mlib.__version__}".encode())
    for name, tensor in network.state_dict().items():
        digest.update(f"{name} {tuple(tensor.shape)}".encode())
        digest.update(tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()[:32]


def _model(network):
    """Write one node per layer, in the order of the forward pass."""
    from onnx import TensorProto, helper

    writer, network = _Writer(), copy.deepcopy(network).double()  # folding loses no digits
    maps = writer.convolution("images", "conv1", network.conv1, network.bn1)
    for name, stage in network.named_children():
        if not name.startswith("dw"):
            continue
        maps = writer.convolution(maps, f"{name}_dw", stage.conv_dw, stage.bn_dw)
        maps = writer.convolution(maps, f"{name}_sep", stage.conv_sep, stage.bn_sep)
    pooled = writer.node("GlobalAveragePool", [maps], "pooled_map")
    pooled = writer.node("Flatten", [pooled], "pooled", axis=1)
    weight = writer.array("fc_weight", network.fc.weight)
    bias = writer.array("fc_bias", network.fc.bias)
    writer.node("Gemm", [pooled, weight, bias], "outputs", transB=1)
    shapes = {
        "images": ["batch", 3, IMAGE_SIZE, IMAGE_SIZE],
        "outputs": ["batch", network.fc.out_features],
    }
    images, outputs = (
        helper.make_tensor_value_info(name, TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
    graph = helper.make_graph(writer.nodes, "mobilenet_v1", [images], [outputs], writer.arrays)
    imports = [helper.make_opsetid("", _OPSET)]
    return helper.make_model(graph, opset_imports=imports, ir_version=_IR_VERSION)


class _Writer:
    """Nodes and arrays of a graph as it grows."""

    def __init__(self):
        self.nodes, self.arrays = [], []

    def node(self, kind, inputs, output, **attributes):
        from onnx import helper

        self.nodes.append(helper.make_node(kind, inputs, [output], name=output, **attributes))
        return output

    def array(self, name, tensor):
        from onnx import numpy_helper

        values = tensor.detach().cpu().float().contiguous().numpy()
        self.arrays.append(numpy_helper.from_array(values, name))
        return name

    def convolution(self, maps, name, layer, normalisation):
        """A convolution with the batch normalisation and the ReLU behind it."""
        fused = nn.utils.fuse_conv_bn_eval(layer, normalisation)
        weight = self.array(f"{name}_weight", fused.weight)
        bias = self.array(f"{name}_bias", fused.bias)
        padding = [*layer.padding, *layer.padding]
        found = self.node(
            "Conv",
            [maps, weight, bias],
            f"{name}_sum",
            kernel_shape=list(layer.kernel_size),
            strides=list(layer.stride),
            pads=padding,
            group=layer.groups,
        )
        return self.node("Relu", [found], name)
