"""The SSIM loss in MindSpore."""

from ssim_ae.network.mindspore_network import mindspore
from ssim_ae.network.ssim import C1, C2, gaussian_matrix


class SSIMLoss(mindspore.nn.Cell):  # type: ignore[misc]
    """1 - the mean SSIM of two batches (B, C, S, S) in [0, 1], over the windows that fit. In float32."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.rows = mindspore.Tensor(gaussian_matrix(size).copy())
        self.columns = mindspore.Tensor(gaussian_matrix(size).T.copy())

    def construct(self, reconstruction: mindspore.Tensor, target: mindspore.Tensor) -> mindspore.Tensor:
        x, y = reconstruction.astype(mindspore.float32), target
        mean_x, mean_y = self._filtered(x), self._filtered(y)
        mean_d = mean_x - mean_y
        variance_d = self._filtered((x - y) * (x - y)) - mean_d * mean_d
        variances = self._filtered(x * x + y * y) - mean_x * mean_x - mean_y * mean_y
        luminance = mean_d * mean_d / (mean_x * mean_x + mean_y * mean_y + C1)
        structure = variance_d / (variances + C2)
        return (luminance + structure - luminance * structure).mean()

    def _filtered(self, maps: mindspore.Tensor) -> mindspore.Tensor:
        return mindspore.ops.matmul(mindspore.ops.matmul(self.rows, maps), self.columns)
