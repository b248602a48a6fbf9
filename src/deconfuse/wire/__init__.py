"""AWS JSON 1.1: the door for boto3, the AWS CLI and every other client of Custom Labels.

    shapes      the service model as one small tree: what an operation takes, gives and raises
    protocol    bytes to checked parameters, results to bytes, errors to answers
    faults      which error of ours is which code of AWS's, for each operation
    operations  each of the 23 operations: parameters to one call of the service, its result to members
    endpoint    the door over HTTP: read, authenticate, do it in a thread, answer
    identity    the one operation of STS that is answered, in its own protocol

Only `operations` knows what an operation asks of the service; nothing outside `gateway` and this room knows how AWS
writes it.
"""
