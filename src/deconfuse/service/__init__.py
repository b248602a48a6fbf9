"""What may be asked, and every rule of the product; no word of HTTP.

    house      everything that a use case needs, in one record
    keys       who asks: keys, and signatures checked against them
    tokens     page tokens
    projects   projects, their policies, and tags
    datasets   datasets and their lines
    versions   trained models: train, describe, start, stop, copy, delete, detect
    objects    buckets and objects, and who may touch them
    health     whether the house is in order
    work       the long part of the above: what a worker does with a job of each kind

`policies` is behind `projects`; `lines`, `loading` and `distribution` are behind `datasets`; `training`, `serving`,
`copying` and `results` behind `versions`.

A use case is a function whose first argument is the `House`. It raises errors of `errors.py`; doors translate them.
"""
