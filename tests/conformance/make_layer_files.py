"""Write the files that layer cases read, besides the LMDBs of make_data.py: a matrix, HDF5 files, images, windows.

    python make_layer_files.py FOLDER JPEG     runs in any engine's Python (3.9 and NumPy 1.19 too)

Images are PNG, which every decoder reads alike, and one JPEG.
"""

import os
import shutil
import sys

import h5py
import numpy as np
from caffe.proto import caffe_pb2
from PIL import Image


def write_matrix(path, rng):
    """The 4 x 4 matrix of InfogainLoss."""
    blob = caffe_pb2.BlobProto(num=1, channels=1, height=4, width=4)
    blob.data.extend((2 * rng.random_sample(16) - 1).astype(np.float32).tolist())
    with open(path, "wb") as file:
        file.write(blob.SerializeToString())


def write_hdf5(folder, rng):
    """Three files of 5, 3 and 4 rows: 2 x 3 x 4 images, 7 doubles, bare whole numbers."""
    names = []
    for index, rows in enumerate((5, 3, 4)):
        names.append("%s/rows%d.h5" % (folder, index))
        with h5py.File(names[-1], "w") as file:
            file["image"] = rng.random_sample((rows, 2, 3, 4)).astype(np.float32)
            file["vector"] = rng.random_sample((rows, 7))
            file["label"] = rng.randint(0, 9, rows).astype(np.int64)
    # Names are apart by any white space.
    with open(os.path.join(folder, "hdf5.txt"), "w") as file:
        file.write("%s\n%s   %s\n" % tuple(names))
    with open(os.path.join(folder, "hdf5_one.txt"), "w") as file:
        file.write(names[0] + "\n")


def write_images(folder, jpeg, rng):
    """Images and lists of them.

    Five have colours and 9 x 12 pixels. One has 7 x 5, one is gray with 9 x 12, one is a JPEG.
    """
    sizes = {"color%d.png" % index: (9, 12, 3) for index in range(5)}
    sizes["small.png"] = (7, 5, 3)
    sizes["gray image.png"] = (9, 12)
    for name, size in sizes.items():
        Image.fromarray(rng.randint(0, 256, size).astype(np.uint8)).save(os.path.join(folder, name))
    shutil.copyfile(jpeg, os.path.join(folder, "gradient.jpg"))
    with open(os.path.join(folder, "images.txt"), "w") as file:
        file.writelines("%s/color%d.png %d\n" % (folder, index, 10 + index) for index in range(5))
    with open(os.path.join(folder, "mixed.txt"), "w") as file:
        file.write("small.png 3\ngray image.png -4\ncolor1.png 5\ngradient.jpg 77\n")


def write_windows(folder):
    """Files of windows on the colour images of 12 x 9: class, overlap, x1, y1, x2, y2."""
    files = (
        ["3 0.9 2 1 7 5", "4 0.1 4 3 10 8"],
        ["3 0.7 2 1 7 5", "6 0.69 0 0 3 3", "4 0.2 1 1 8 3", "5 0.19 4 3 10 8"],
        ["3 0.5 0 1 6 8", "4 0.49 8 0 11 2"],
        ["7 1 0 0 11 8", "0 0 5 2 5 7"],
    )
    for index, windows in enumerate(files):
        half = len(windows) // 2
        with open("%s/windows%d.txt" % (folder, index), "w") as file:
            for image, lines in enumerate((windows[:half], windows[half:])):
                path = "color%d.png" % image if index == 3 else "%s/color%d.png" % (folder, image)
                file.write("# %d\n%s\n3\n9\n12\n%d\n" % (image, path, len(lines)))
                file.writelines(line + "\n" for line in lines)


def main(folder, jpeg):
    os.makedirs(folder)
    rng = np.random.RandomState(2016)
    write_matrix(os.path.join(folder, "infogain.binaryproto"), rng)
    write_hdf5(folder, rng)
    write_images(folder, jpeg, rng)
    write_windows(folder)


if __name__ == "__main__":
    main(*sys.argv[1:])
