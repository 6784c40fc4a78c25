from ssim_ae.random_streams import Stream, random_stream


def test_every_purpose_has_its_own_number():
    assert len(Stream.__members__) == len({int(stream) for stream in Stream})


def test_streams_are_functions_of_seed_purpose_and_index():
    drawn = {
        (seed, stream, index): random_stream(seed, stream, index).integers(2**63)
        for seed in (0, 1234)
        for stream in Stream
        for index in range(3)
    }
    assert len(set(drawn.values())) == len(drawn)
    assert all(random_stream(*key).integers(2**63) == value for key, value in drawn.items())


def test_numbers_of_a_stream_never_change():
    assert random_stream(1234, Stream.HELD_OUT_IMAGES).permutation(6).tolist() == [5, 3, 2, 4, 0, 1]
    assert random_stream(1234, Stream.PATCH_ORDER, 0).permutation(6).tolist() == [3, 4, 0, 2, 5, 1]
