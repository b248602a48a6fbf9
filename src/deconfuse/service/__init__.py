"""What may be asked, and every rule of the product; no word of HTTP.

    house      everything that a use case needs, in one record
    keys       who asks: keys, and signatures checked against them
    tokens     page tokens
    projects   projects, their policies, and tags
    datasets   datasets and their entries
    versions   trained models: train, describe, start, stop, copy, delete, detect
    objects    buckets and objects, and who may touch them
    work       the long part of the above: what a worker does with a job of each kind

A use case is a function whose first argument is the `House`. It raises errors of `errors.py`; doors translate them.
"""
