import numpy as np
import pytest
from PIL import Image

from ssim_ae.config import Config
from ssim_ae.images.size import Size
from ssim_ae.synthetic.built_in import DATA_SETS
from ssim_ae.training.texture_choice import note_weakness_on_textures, shows_texture, with_texture
from ssim_ae.training.working_size import choose_working_size


def noise(rng, count, side=64):
    return [rng.random((side, side)).astype(np.float32) for _ in range(count)]


def test_images_without_a_place_in_common_show_a_texture(rng):
    assert shows_texture(noise(rng, 5))
    (image,) = noise(rng, 1)
    assert shows_texture([np.roll(image, 5 * number, axis=1) for number in range(8)]), "one image, moved"


@pytest.mark.parametrize("weight", [1.0, 0.5])
def test_images_of_a_part_do_not(rng, weight):
    part = rng.random((64, 64)).astype(np.float32)
    assert not shows_texture([weight * part + 0.5 * image for image in noise(rng, 5)])
    assert not shows_texture([1 - weight * part for _ in range(5)])


def test_one_image_cannot_tell_and_uniform_images_have_nothing_in_common(rng):
    assert not shows_texture(noise(rng, 1)) and not shows_texture([])
    assert shows_texture([np.full((64, 64), level, np.float32) for level in (0.2, 0.5, 0.7)])


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images of noise, of two sizes, and of one part; one file of each cannot be read."""
    rng, root = np.random.default_rng(0), tmp_path_factory.mktemp("good")
    part = rng.integers(0, 200, (80, 96, 3))
    for number in range(6):
        for name in ("texture", "part"):
            (root / name).mkdir(exist_ok=True)
            size = (80, 96, 3) if number % 2 or name == "part" else (70, 90, 3)
            pixels = rng.integers(0, 256, size) if name == "texture" else part + rng.integers(0, 50, size)
            Image.fromarray(pixels.astype(np.uint8)).save(root / name / f"{number}.png")
    for name in ("texture", "part"):
        (root / name / "broken.png").write_bytes(b"no image")
    return root


@pytest.mark.parametrize("name", ["texture", "part"])
def test_the_decision_is_made_from_files_and_said(folders, name, capsys):
    paths = sorted((folders / name).iterdir())
    config = with_texture(Config(method="repair"), paths)
    assert config.texture is (name == "texture")
    assert ("show a texture" in capsys.readouterr().err) is (name == "texture")


@pytest.mark.parametrize(
    ("settings", "online"), [({}, True), ({"online_aug": False}, False), ({"aug_dir": "patches"}, False)]
)
def test_a_texture_is_learned_from_new_patches(folders, settings, online):
    config = Config(method="reference", **settings)
    assert with_texture(config, sorted((folders / "texture").iterdir())).online_aug is online
    assert with_texture(config.replace(texture=True), []).online_aug is online
    assert with_texture(config, sorted((folders / "part").iterdir())).online_aug is False


def test_a_texture_has_defaults_of_its_own(folders):
    texture, part = (sorted((folders / name).iterdir()) for name in ("texture", "part"))
    learned = with_texture(Config(method="reference"), texture)
    assert (learned.z_dim, learned.epochs) == (500, 50)
    assert with_texture(learned.replace(z_dim=90), texture).z_dim == 90
    given = with_texture(Config(method="reference", epochs=3), texture)
    assert (given.z_dim, given.epochs) == (500, 3)
    learned = with_texture(Config(method="reference"), part)
    assert (learned.z_dim, learned.epochs) == (100, 20)
    zoo = with_texture(Config(method="reference", texture=False), texture)
    assert (zoo.z_dim, zoo.epochs, zoo.online_aug) == (100, 20, False)
    assert with_texture(Config(method="repair"), texture).epochs == Config(method="repair").epochs


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method": "repair", "texture": False}, False),
        ({"method": "reference", "ssim_threshold": 0.5, "l1_threshold": 0.5}, False),  # given for unsmoothed residuals
        ({"method": "segment"}, None),
        ({"method": "features"}, None),
    ],
)
def test_settings_decide_first(folders, settings, expected):
    assert with_texture(Config(**settings), sorted((folders / "texture").iterdir())).texture is expected


@pytest.mark.parametrize(
    ("settings", "expected"),
    [
        ({"method": "repair", "texture": True}, Size(352, 512)),
        ({"method": "repair", "texture": True, "resolution": 144}, Size(128, 192)),
        ({"method": "repair", "texture": False}, Size(128, 192)),
    ],
)
def test_textures_keep_their_resolution(settings, expected):
    assert choose_working_size(Config(**settings), [Size(352, 512)] * 3) == expected


def test_a_large_texture_is_reduced_and_a_small_one_not_enlarged():
    config = Config(method="repair", texture=True)
    assert choose_working_size(config, [Size(2048, 2048)]) == Size(512, 512)
    assert choose_working_size(config, [Size(256, 256)]) == Size(256, 256)


@pytest.mark.long
def test_built_in_textures_and_parts(tmp_path):
    """Fabric and fibers are textures; connectors, plates and badges are not."""
    for name, textures in {"fabric": {"twill", "canvas"}, "fibers": {"fibers"}, "connector": set()}.items():
        for folder in DATA_SETS[name].make(tmp_path, train=12, good=0, defective=0):
            config = with_texture(Config(method="repair"), sorted((folder / "train/good").iterdir()))
            assert config.texture is (folder.name in textures), folder.name


@pytest.mark.parametrize(
    ("method", "name", "said"),
    [("segment", "texture", True), ("segment", "part", False), ("features", "texture", False)],
)
def test_a_method_that_is_weak_on_random_textures_says_so(folders, method, name, said, capsys):
    note_weakness_on_textures(Config(method=method), sorted((folders / name).iterdir()))
    assert ("segment finds defects less well" in capsys.readouterr().err) is said
