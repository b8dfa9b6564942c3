"""Crop on the fly in a tf.data pipeline: the crops run in threads, because the kernels release the GIL.

For a whole training it pays to make a cache once (scalenorm-batch) and to read that; this is for images that are
made or changed on the way.
"""

import tensorflow as tf

import scalenorm

sample = scalenorm.make_galaxies(64, seed=1, size=212)


def crop(image):
    crop = tf.numpy_function(scalenorm.crop, [image], tf.uint8, stateful=False)
    crop.set_shape((64, 64, 3))  # tf.numpy_function does not know
    return tf.cast(crop, tf.float32) / 255


data = tf.data.Dataset.from_tensor_slices((sample.images, sample.answers.astype("float32")))
data = data.map(lambda image, answers: (crop(image), answers), num_parallel_calls=tf.data.AUTOTUNE)
data = data.batch(16).prefetch(tf.data.AUTOTUNE)

for images, answers in data:
    print(f"images {images.shape}, mean {float(tf.reduce_mean(images)):.3f}; answers {answers.shape}")
