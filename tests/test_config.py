from pathlib import Path

import pytest
import yaml

from ssim_ae.config import Config, sections
from ssim_ae.errors import InputError

CONFIGS = Path(__file__).parents[1] / "config"

REFERENCE = """
device_target: Ascend
dataset: "capsule"
dataset_path: "./dataset/capsule"
aug_dir: "./capsule_aug"
model_arts: False
grayscale: False
augment_num: 10000
im_resize: 266
crop_size: 256
rotate_angle: 45.
p_ratate: 0.25
z_dim: 500
lr: 2.0e-4
img_suffix: ".png"
percent: 98.
eval_epochs: [1, 100, 150]
save_dir: "./capsule_output"

---
# Help description for each configuration
device_target: "Target device type, available: [Ascend, GPU, CPU]"
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "config.yaml"
    path.write_text(text)
    return path


def test_a_reference_config_works_unchanged(tmp_path):
    config = Config.read(written(tmp_path, REFERENCE))
    assert (config.dataset, config.p_rotate, config.lr, config.im_resize) == ("capsule", 0.25, 2e-4, 266)
    assert not config.tiled and config.mask_size == 256


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_file_is_valid(path):
    config = Config.read(path)
    assert path.stem == ("default_config" if config.dataset == "none" else f"{config.dataset}_config")


def test_there_is_a_config_for_every_class():
    assert len(list(CONFIGS.glob("*.yaml"))) == 1 + 15 + 2


def test_the_default_config_file_holds_every_key_with_its_default():
    path = CONFIGS / "default_config.yaml"
    assert Config.read(path) == Config()
    assert path.read_text().endswith(Config().to_yaml())


def test_sections_hold_every_key_once():
    assert [key for _, fields in sections() for key, _ in fields] == list(Config.model_fields)


def test_what_is_written_is_read_again(tmp_path):
    config = Config(epochs=3, lr=1e-5, dataset="1e5", dataset_path="a b: c #ü", percent=99.95, eval_epochs=[1, 2])
    assert Config.read(written(tmp_path, config.to_yaml())) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch: 5", "unknown key 'epoch' (did you mean 'epochs'?)"),
        ("epochs: five", "epochs: Input should be a valid integer, unable to parse string as an integer, not 'five'"),
        ("epochs: 2.5", "epochs: "),
        ("epochs: True", "epochs: should not be True or False"),
        ("grayscale: maybe", "grayscale: "),
        ("crop_size: 100", "crop_size: should be one of 32, 64, 128, 256, 512, not 100"),
        ("im_resize: 64", "im_resize 64 is smaller than crop_size 128"),
        ("stride: 200", "stride 200 is larger than crop_size 128"),
        ("augment_num: 10", "batch_size 16 is larger than augment_num 10"),
        ("do_aug: False", "do_aug False trains on the images' centres"),
        ("p_ratate: 0.1\np_rotate: 0.2", "'p_rotate' is given twice"),
        ("epochs: 1\nepochs: 2", "key 'epochs' is given twice"),
        ("device_target: TPU", "device_target: Input should be 'auto', 'CPU', 'GPU' or 'Ascend', not 'TPU'"),
        ("lr: .nan", "lr: "),
        ("checkpoint_seconds: .inf", "checkpoint_seconds: "),
        ("- a\n- b", "should be lines of the form 'key: value'"),
        ("a: [1", "not a YAML file in line "),
        ("holdout: 1", "holdout: "),
    ],
)
def test_a_mistake_is_one_line_that_names_file_and_key(tmp_path, text, expected):
    path = written(tmp_path, text)
    with pytest.raises(InputError) as caught:
        Config.read(path)
    message = str(caught.value)
    assert message.startswith(f"{path}: ") and expected in message and "\n" not in message


def test_a_missing_file_is_one_line(tmp_path):
    with pytest.raises(InputError, match=r"none\.yaml: cannot be read: No such file"):
        Config.read(tmp_path / "none.yaml")


def test_the_command_line_comes_on_top(tmp_path):
    path = written(tmp_path, "epochs: 5\nlr: 1e-4")
    config = Config.read(path, {"epochs": "7", "grayscale": "True", "p_ratate": "0"})
    assert (config.epochs, config.lr, config.grayscale, config.p_rotate) == (7, 1e-4, True, 0)


def test_a_mistake_on_the_command_line_is_said_to_be_there(tmp_path):
    path = written(tmp_path, "epochs: 5")
    for overrides, message in (({"epochs": "x"}, "command line: epochs: "), ({"epoch": "5"}, "command line: unknown")):
        with pytest.raises(InputError, match=message):
            Config.read(path, overrides)


def test_a_list_is_an_option_too():
    assert Config.read(None, {"eval_epochs": "[1, 20]"}).eval_epochs == [1, 20]


def test_numbers_in_exponent_form_without_a_dot_are_numbers(tmp_path):
    assert Config.read(written(tmp_path, "lr: 2e-4")).lr == 2e-4
    assert yaml.safe_load("lr: 2e-4") == {"lr": "2e-4"}, "the reason for a loader of our own"


@pytest.mark.parametrize(("im_resize", "crop", "tiled"), [(266, 256, False), (256, 128, True), (128, 128, False)])
def test_tiles_where_the_crop_leaves_a_stride_or_more(im_resize, crop, tiled):
    config = Config(im_resize=im_resize, crop_size=crop)
    assert config.tiled is tiled
    assert config.mask_size == (im_resize if tiled else crop)


def test_repair_has_defaults_of_its_own():
    config = Config(method="repair")
    assert (config.crop_size, config.im_resize, config.flc) == (128, 144, 16)
    assert config.mask_size == config.tile_size == 144 and not config.tiled
    assert config.optimizer == "muon" and config.light == 0.08
    assert config.online_aug and config.rotate_angle < 0 and not config.p_horizontal_flip + config.p_vertical_flip
    assert Config.read(None, {"method": "repair", "p_rotate": "0.2"}).p_rotate == 0.2
    assert config.replace(epochs=3) == Config(method="repair", epochs=3)
    assert Config(**config.model_dump()) == config


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"method": "repair", "crop_size": 32, "im_resize": 32}, "64 or more, not 32"),
        (
            {"method": "repair", "im_resize": 392},
            "crop_size 128 im_resize should be a multiple of 16, 64 or more, not 392",
        ),
        ({"minutes": 5, "distribute": True}, "workers' clocks differ"),
    ],
)
def test_what_repair_and_minutes_cannot_do(values, message):
    with pytest.raises(InputError, match=message):
        Config.read(None, values)
