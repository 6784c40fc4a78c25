"""The built-in data sets by name."""

from ssim_ae.synthetic.connector import CONNECTOR
from ssim_ae.synthetic.data_set import DataSet
from ssim_ae.synthetic.fabric import FABRIC
from ssim_ae.synthetic.fibers import FIBERS
from ssim_ae.synthetic.plate import PLATE

DATA_SETS: dict[str, DataSet] = {"fabric": FABRIC, "connector": CONNECTOR, "plate": PLATE, "fibers": FIBERS}
