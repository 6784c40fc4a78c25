import copy
import json
import pickle
from pathlib import Path

import pytest
import yaml

from ssim_ae.config import Config
from ssim_ae.config.descriptions import default_of, description, sections
from ssim_ae.config.effects import check_have_effect, note_unused_estimators
from ssim_ae.errors import InputError
from ssim_ae.images.size import Size
from ssim_ae.methods import METHOD_ORDER, methods, unused_settings

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
decay: 1.0e-4
img_suffix: ".png"
percent: 98.
ssim_threshold: -1.0
l1_threshold: -1.0
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


def test_a_config_of_the_reference_works_unchanged(tmp_path, capsys):
    path = written(tmp_path, REFERENCE)
    config = Config.read(path)
    assert config.method == "reference"
    assert (config.dataset, config.p_rotate, config.lr, config.im_resize) == ("capsule", 0.25, 2e-4, 266)
    assert (config.weight_decay, config.ssim_threshold, config.l1_threshold) == (1e-4, None, None)
    assert not config.tiled and config.view_size == (256, 256)
    notes = capsys.readouterr().err.splitlines()
    assert len(notes) == 1 and notes[0].startswith(f"note: {path}: names no method") and "reference" in notes[0]


@pytest.mark.parametrize(
    ("given", "noted"),
    [({}, True), ({"threshold": "percent"}, False), ({"ssim_threshold": 0.3, "l1_threshold": 0.1}, False)],
)
def test_a_percentile_without_effect_is_noted(tmp_path, capsys, given, noted):
    config = Config.read(written(tmp_path, "method: reference\npercent: 98\n"), given)
    note_unused_estimators(config, "old.yaml")
    note = "note: old.yaml: percent has no effect with threshold false_alarm_rate; --threshold percent uses it\n"
    assert capsys.readouterr().err == (note if noted else "")


def test_a_file_that_chooses_its_estimator_may_list_the_settings_of_all(tmp_path, capsys):
    config = Config.read(written(tmp_path, "method: reference\npercent: 98\nthreshold: max\n"))
    note_unused_estimators(config, "old.yaml")
    assert capsys.readouterr().err == ""


def test_all_unknown_keys_are_named_at_once(tmp_path):
    path = written(tmp_path, "epoch: 5\nbatch: 3\n")
    with pytest.raises(InputError) as error:
        Config.read(path)
    assert [reason.split(" (")[0] for reason in str(error.value).split("; ")] == [
        f"{path}: unknown key 'epoch'",
        f"{path}: unknown key 'batch'",
    ]


@pytest.mark.parametrize("path", sorted(CONFIGS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_config_file_is_valid(path):
    config = Config.read(path)
    assert path.stem == ("default_config" if config.dataset == "none" else f"{config.dataset}_config")
    assert config.method == (METHOD_ORDER[0] if config.dataset == "none" else "reference")
    assert config.texture is (None if config.dataset == "none" else False)  # the reference knows no textures


def test_there_is_a_config_for_every_class():
    assert len(list(CONFIGS.glob("*.yaml"))) == 1 + 15 + 2


def test_the_default_config_file_lists_every_setting_with_its_default():
    path = CONFIGS / "default_config.yaml"
    text = path.read_text()
    assert Config.read(path) == Config()
    assert text.endswith(Config().to_yaml())
    assert all(f"{key}: " in text for key in Config.model_fields)


@pytest.mark.parametrize(
    ("given", "folders"),
    [
        ("a b", ["a b"]),
        ("[a, b c/]", ["a", "b c/"]),
        ("[]", []),
        ("2024-01-31", ["2024-01-31"]),
        ("[5, on]", ["5", "on"]),
    ],
)
def test_folders_of_more_images_are_a_list(tmp_path, given, folders):
    assert Config.read(None, {"more_paths": given}).more_paths == folders
    config = Config(more_paths=folders)
    assert Config.read(written(tmp_path, config.to_yaml())).more_paths == folders
    assert "more_paths" not in config.portable_settings()
    for wrong in ("", "[a, '']"):
        with pytest.raises(InputError, match="more_paths"):
            Config.read(None, {"more_paths": wrong})
    with pytest.raises(InputError, match=r"^command line: '\[a, b' is no list; write it as \[a, b\]$"):
        Config.read(None, {"more_paths": "[a, b"})


def test_sections_list_every_setting_once():
    assert [key for _, fields in sections() for key, _ in fields] == list(Config.model_fields)


@pytest.mark.parametrize("method", ["repair", "reference"])
def test_a_written_config_is_read_again(tmp_path, method):
    given = {"epochs": 3, "lr": 1e-5, "dataset": "1e5", "dataset_path": "a b: c #ü", "percent": 99.95}
    config = Config(method=method, eval_epochs=[1, 2], ssim_threshold=0.5, rotate_angle=None, **given)
    assert Config.read(written(tmp_path, config.to_yaml())) == config


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("epoch: 5", "unknown key 'epoch' (did you mean 'epochs'?)"),
        ("epochs: five", "epochs: Input should be a valid integer, unable to parse string as an integer, not 'five'"),
        ("epochs: 2.5", "epochs: "),
        ("epochs: True", "epochs: should be a number, or a text in quotes, not True"),
        ("grayscale: maybe", "grayscale: "),
        ("crop_size: 100", "crop_size: should be one of 32, 64, 128, 256, 512, not 100"),
        ("im_resize: 64", "im_resize 64: with method reference and crop_size 128 each side should be 128 or more"),
        ("stride: 200", "stride 200 is larger than crop_size 128"),
        ("augment_num: 10", "batch_size 16 is larger than augment_num 10"),
        ("do_aug: False\nim_resize: 256", "do_aug False trains on the center of each image"),
        ("p_ratate: 0.1\np_rotate: 0.2", "'p_rotate' is given twice"),
        ("lr: 1\nepochs: 1\nepochs: 2", "line 3: not valid YAML: key 'epochs' is given twice"),
        ("device_target: TPU", "device_target: Input should be 'auto', 'CPU', 'GPU' or 'Ascend', not 'TPU'"),
        ("lr: .nan", "lr: "),
        ("checkpoint_seconds: .inf", "checkpoint_seconds: "),
        ("- a\n- b", "should be lines of the form 'key: value'"),
        ("a: [1", "line 1: not valid YAML: "),
        ("holdout: 1", "holdout: "),
        ("method: repiar", "method: should be one of features, segment, repair, reference, not 'repiar'"),
        ("method: 5", "method: "),
        ("method: repair\nengine: mindspore", "engine mindspore does not support method repair"),
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


def test_the_command_line_overrides_the_file(tmp_path):
    path = written(tmp_path, "epochs: 5\nlr: 1e-4")
    config = Config.read(path, {"epochs": "7", "grayscale": "True", "p_ratate": "0"})
    assert (config.epochs, config.lr, config.grayscale, config.p_rotate) == (7, 1e-4, True, 0)


def test_a_mistake_on_the_command_line_is_attributed_to_it(tmp_path):
    path = written(tmp_path, "epochs: 5")
    for overrides, message in (({"epochs": "x"}, "command line: epochs: "), ({"epoch": "5"}, "command line: unknown")):
        with pytest.raises(InputError, match=message):
            Config.read(path, overrides)


def test_a_list_can_be_given_as_an_option():
    assert Config.read(None, {"eval_epochs": "[1, 20]"}).eval_epochs == [1, 20]


def test_numbers_in_exponent_form_without_a_dot_are_numbers(tmp_path):
    assert Config.read(written(tmp_path, "lr: 2e-4")).lr == 2e-4
    assert yaml.safe_load("lr: 2e-4") == {"lr": "2e-4"}, "the reason for a loader of our own"


@pytest.mark.parametrize(("im_resize", "crop", "tiled"), [(266, 256, False), (256, 128, True), (128, 128, False)])
def test_tiles_if_the_crop_leaves_a_stride_or_more(im_resize, crop, tiled):
    config = Config(method="reference", im_resize=im_resize, crop_size=crop)
    assert config.tiled is tiled
    assert config.view_size == Size.of(im_resize if tiled else crop)


def test_each_side_of_a_rectangle_is_covered_by_tiles():
    config = Config(method="reference", im_resize=(144, 400), crop_size=128, stride=32)
    assert (config.view_size, config.tile_size, config.tile_count, config.tiled) == ((128, 400), (128, 128), 10, True)
    whole = Config(im_resize=(144, 400))
    assert (whole.view_size, whole.tile_size, whole.tile_count, whole.tiled) == ((144, 400), (144, 400), 1, False)
    assert (whole.channels, *whole.working_size) == (3, 144, 400)


@pytest.mark.parametrize(
    ("given", "size", "in_file"),
    [
        (192, (192, 192), "192 "),
        ("192", (192, 192), "192 "),
        ("192x448", (192, 448), "[192, 448] "),
        ([192, 448], (192, 448), "[192, 448] "),
        ((192.0, 192), (192, 192), "192 "),
    ],
)
def test_a_size_is_a_side_or_height_and_width(tmp_path, given, size, in_file):
    for config in (Config(im_resize=given), Config.read(None, {"im_resize": given})):
        assert config.working_size == size and f"\nim_resize: {in_file}" in config.to_yaml()
        again = Config.read(written(tmp_path, config.to_yaml()))
        assert again.im_resize == config.im_resize and json.loads(json.dumps(again.portable_settings()))["im_resize"]
        assert Config(**json.loads(json.dumps(config.portable_settings()))) == config
        assert not {"resolution", "smallest_defect"} & config.portable_settings().keys(), "they have had their effect"


@pytest.mark.parametrize(
    "given", ["192x", "x", "a", "1e9x64", "192x448x3", [1, 2, 3], [], 192.5, "31", 4097, [True, 64]]
)
def test_anything_else_is_no_size(given):
    with pytest.raises(InputError, match=r"command line: im_resize: should be 32 to 4096 px, or two such sides"):
        Config.read(None, {"im_resize": given})


def test_a_size_that_is_not_chosen_yet_is_written_as_minus_one():
    config = Config.read(None, {"im_resize": "-1"})
    assert config.im_resize is None and "\nim_resize: -1 " in config.to_yaml()
    with pytest.raises(InputError, match="im_resize: it is chosen from the good images when a training starts"):
        _ = config.working_size


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"im_resize": "256", "resolution": "200"}, "--resolution: no effect .* im_resize replaces it"),
        ({"im_resize": "256", "smallest_defect": "9"}, "--smallest_defect: no effect .* im_resize replaces it"),
        ({"smallest_defect": "9", "resolution": "200"}, "--resolution: no effect .* smallest_defect replaces it"),
    ],
)
def test_the_choice_of_the_size_is_given_once(given, message):
    with pytest.raises(InputError, match=message):
        check_have_effect(given, Config.read(None, given))


def test_one_method_is_the_default_everywhere(tmp_path):
    assert Config().method == Config.read(None, {}).method == methods()[0].name == "features"
    assert Config(dataset_path="photos") == Config(dataset_path="photos", method="features")
    assert Config.read(written(tmp_path, "minutes: 5")).method == "segment", "no key of the reference's files"
    assert Config.read(None, {"z_dim": "500"}).method == "reference", "the only method that has it"


def test_defaults_are_those_of_the_method():
    assert Config().resolution == 512
    config = Config(method="repair")
    assert (config.crop_size, config.im_resize, config.resolution, config.flc) == (128, None, 144, 16)
    assert config.optimizer == "muon" and config.illumination_std == 0.08
    assert config.online_aug and config.rotate_angle is None
    assert not config.p_horizontal_flip + config.p_vertical_flip
    reference = Config(method="reference")
    assert (reference.resolution, reference.epochs, reference.flc, reference.optimizer) == (256, 20, 32, "adamw")
    assert Config.read(None, {"method": "repair", "p_rotate": "0.2"}).p_rotate == 0.2
    assert Config(engine="mindspore").method == "reference", "the only method that the engine supports"


def test_unused_settings_are_written_with_the_default_of_the_first_method_that_uses_them():
    text = Config().to_yaml()
    assert all(f"\n# {line} " in text for line in ("epochs: 24", "flc: 16", "rotate_angle: 3.0", "z_dim: 100"))
    repair = Config(method="repair", epochs=3).to_yaml()
    assert "\nepochs: 3 " in repair and "\n# distance_threshold: -1 " in repair


def test_a_new_method_brings_its_defaults():
    assert Config().replace(method="reference") == Config(method="reference")
    assert Config(method="reference").replace(method="repair") == Config(method="repair")
    assert Config(epochs=3, seed=5).replace(method="features") == Config(seed=5), "what it does not use is dropped"
    changed = Config(epochs=3, im_resize=288).replace(method="reference")
    assert changed == Config(method="reference", epochs=3, im_resize=288), "what was set is kept"
    assert Config(method="reference", z_dim=500).replace(method="repair") == Config(method="repair")


def test_replace_keeps_track_of_what_is_set():
    config = Config(epochs=3)
    assert config.model_fields_set == {"epochs"}
    assert config.replace(seed=1).model_fields_set == {"epochs", "seed"}
    assert config.replace(seed=1).method == "segment" and Config(seed=2).replace(im_resize=64).method == "features"
    assert Config(method="repair").replace(seed=1).replace(seed=2).model_fields_set == {"method", "seed"}
    assert Config(**config.model_dump()) == Config(**config.portable_settings()) == config


def test_settings_of_another_method_are_refused_or_named(tmp_path, capsys):
    assert unused_settings("repair") == {
        *("z_dim", "stride", "align", "backbone", "distance_threshold", "damage_threshold", "absence_threshold")
    }
    not_of_reference = {"align", "backbone", "distance_threshold", "damage_threshold", "absence_threshold"}
    assert unused_settings("reference") == not_of_reference
    assert {"z_dim", "epochs", "ssim_threshold"} <= unused_settings("features")
    assert "z_dim" not in Config().portable_settings() and "z_dim" in Config(method="reference").portable_settings()
    with pytest.raises(InputError, match=r"^Config: z_dim has no effect with method repair"):
        Config(method="repair", z_dim=500)
    with pytest.raises(InputError, match="command line: epochs has no effect with method features; leave it out"):
        Config.read(None, {"method": "features", "epochs": "5"})
    path = written(tmp_path, "z_dim: 500\nstride: 16\nepochs: 3")
    assert Config.read(path, {"method": "repair"}) == Config(method="repair", epochs=3)
    assert Config.read(path, {"method": "features"}) == Config()
    notes = capsys.readouterr().err
    assert f"note: {path}: z_dim, stride: no effect with method repair; ignored" in notes
    assert f"note: {path}: z_dim, stride, epochs: no effect with method features; ignored" in notes
    assert Config.read(path).z_dim == 500


def test_negative_means_automatic_in_files_and_on_the_command_line_alone(tmp_path):
    path = written(tmp_path, "ssim_threshold: -1\nl1_threshold: 0.2\nrotate_angle: -1.0")
    config = Config.read(path, {"l1_threshold": "-1"})
    assert (config.ssim_threshold, config.l1_threshold, config.rotate_angle) == (None, None, None)
    assert "ssim_threshold: -1 " in config.to_yaml()
    with pytest.raises(InputError, match=r"^Config: ssim_threshold: .* not -1$"):
        Config(ssim_threshold=-1)


def test_descriptions_give_the_defaults_of_the_other_methods():
    assert description("resolution", "features").endswith("px (segment: 256; repair: 144; reference: 256)")
    assert description("z_dim", "repair").endswith("(reference only)")
    assert description("lr", "repair") == "learning rate (not features; segment: 0.0006)"
    assert description("flc", "repair").endswith("(not features; reference: 32)")
    assert description("seed", "repair").endswith("held-out images")
    assert description("method", "repair").count(":") >= 3
    assert default_of("rotate_angle", "reference") == 45


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (
            {"crop_size": 32, "im_resize": 32},
            "im_resize 32: with method repair and crop_size 32 each side should be 64 or more and a multiple of 4",
        ),
        (
            {"method": "repair", "im_resize": "144x392"},
            r"im_resize \[144, 392\]: .* 128 each side should be 128 or more and a multiple of 16",
        ),
        (
            {"im_resize": "144x392"},
            r"im_resize \[144, 392\]: with method features each side should be 64 or more and a multiple of 16",
        ),
        ({"method": "repair", "im_resize": 4096}, "flc 16 is too large for patches of 4096 x 4096 px"),
        ({"minutes": 5, "distribute": True}, "the clocks of workers differ"),
    ],
)
def test_impossible_combinations(values, message):
    with pytest.raises(InputError, match=message):
        Config.read(None, values)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epochs": 0}, "Config: epochs: Input should be greater than or equal to 1, not 0"),
        ({"epochs": True}, "Config: epochs: should be a number, or a text in quotes, not True"),
        ({"epoch": 5}, "Config: unknown key 'epoch' (did you mean 'epochs'?)"),
        (
            {"im_resize": 32, "crop_size": 64, "method": "reference"},
            "Config: im_resize 32: with method reference and crop_size 64 each side should be 64 or more",
        ),
        ({"method": "repare"}, None),
    ],
)
def test_a_bad_setting_in_python_is_an_error_of_one_line(settings, message):
    with pytest.raises(InputError) as raised:
        Config(**settings)
    assert "\n" not in str(raised.value) and (message is None or str(raised.value) == message)
    assert pickle.loads(pickle.dumps(Config(epochs=3))) == copy.deepcopy(Config(epochs=3)) == Config(epochs=3)
