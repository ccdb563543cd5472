"""Records and images: LMDBs of Datum, lists of images, decoding, resizing, the data layers' transformation."""
