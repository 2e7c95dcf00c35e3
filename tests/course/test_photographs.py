"""A photograph becomes what a network reads."""

import numpy as np

from enterprise_lab.course.photographs import photograph, prepare


def test_a_photograph_becomes_numbers_from_0_to_1():
    ready = prepare(photograph())
    assert ready.shape == (3, 224, 224)
    assert ready.dtype == np.float32
    assert 0 <= ready.min() < 0.1
    assert 0.9 < ready.max() <= 1


def test_the_middle_is_what_is_cut_out():
    import io

    from PIL import Image

    picture = np.zeros((512, 1024, 3), np.uint8)
    picture[:, 400:624] = 255
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG")
    ready = prepare(file.getvalue())
    assert ready[:, :, 112].min() > 0.9
    assert ready[:, :, 10].max() < 0.1
